/** The state of the empty string. */
export const ROOT = 0;
export const NONE = -1;

/** Initial capacity, in states and edges. */
const CAPACITY = 64;
/** States updated per token: the longest contexts first. Only highly repetitive text has more. */
const MAX_COUNTED = 64;

/**
 * Suffix automaton of a growing text (Blumer et al., "The smallest automaton recognizing the subwords of a text",
 * 1985).
 * A state stands for the substrings that end at the same positions. n tokens have at most 2n states and 3n edges, and
 * appending a token takes amortised constant time for any vocabulary size, since edges are never removed. Edges are
 * stored in one hash table, and linked in a list for each state.
 *
 * Memory: 20 bytes per state and 24 to 32 per edge, so at most 136 bytes per token, twice that when arrays have just
 * grown.
 */
export class SuffixAutomaton {
  /** Tokens appended. */
  length = 0;
  /** The state of the whole text. */
  last = ROOT;
  #nStates = 1;
  /** By state: length of its longest substring. */
  #longest: Int32Array = new Int32Array(CAPACITY);
  /** By state: the state of its longest suffix that ends at more positions. */
  #link: Int32Array = new Int32Array(CAPACITY).fill(NONE, 0, 1);
  /** By state: number of positions at which its substrings end; too low if text repeats beyond MAX_COUNTED contexts. */
  #count: Int32Array = new Int32Array(CAPACITY);
  /** By state: number of tokens up to its newest position. */
  #newest: Int32Array = new Int32Array(CAPACITY);
  /** By state: its newest edge. */
  #firstEdge: Int32Array = new Int32Array(CAPACITY).fill(NONE);
  #nEdges = 0;
  #source: Int32Array = new Int32Array(CAPACITY);
  #token: Int32Array = new Int32Array(CAPACITY);
  #target: Int32Array = new Int32Array(CAPACITY);
  #nextEdge: Int32Array = new Int32Array(CAPACITY);
  /** Open addressing, at most half full: edge + 1; 0: empty. */
  #slots: Int32Array = new Int32Array(2 * CAPACITY);

  append(token: number): void {
    this.length++;
    const added = this.#addState(this.longest(this.last) + 1);
    let state = this.last;
    let edge = NONE;
    while (state !== NONE) {
      edge = this.edge(state, token);
      if (edge !== NONE) break;
      this.#addEdge(state, token, added);
      state = this.link(state);
    }
    this.#link[added] = state === NONE ? ROOT : this.#suffixState(state, token, this.target(edge));
    this.last = added;
    for (let i = 0, s = added; i < MAX_COUNTED && s !== ROOT; i++, s = this.link(s)) {
      this.#count[s] = this.count(s) + 1;
      this.#newest[s] = this.length;
    }
  }

  /**
   * State of the longest substring of `state` followed by `token`. `target` may contain longer substrings, too; then it
   * is cloned.
   */
  #suffixState(state: number, token: number, target: number): number {
    const length = this.longest(state) + 1;
    if (this.longest(target) === length) return target;
    const clone = this.#addState(length);
    for (let edge = this.firstEdge(target); edge !== NONE; edge = this.nextEdge(edge)) {
      this.#addEdge(clone, this.token(edge), this.target(edge));
    }
    this.#link[clone] = this.link(target);
    this.#count[clone] = this.count(target);
    this.#newest[clone] = this.newest(target);
    this.#link[target] = clone;
    for (let s = state; s !== NONE; s = this.link(s)) {
      const edge = this.edge(s, token);
      if (this.target(edge) !== target) break;
      this.#target[edge] = clone;
    }
    return clone;
  }

  /** Target of a state's edge; NONE: no such edge. */
  edge(state: number, token: number): number {
    const mask = this.#slots.length - 1;
    for (let slot = hash(state, token) & mask; ; slot = (slot + 1) & mask) {
      const edge = (this.#slots[slot] as number) - 1;
      if (edge === NONE || (this.#source[edge] === state && this.#token[edge] === token)) return edge;
    }
  }

  /** Newest edge of a state; `nextEdge` has the others. */
  firstEdge(state: number): number {
    return this.#firstEdge[state] as number;
  }

  nextEdge(edge: number): number {
    return this.#nextEdge[edge] as number;
  }

  token(edge: number): number {
    return this.#token[edge] as number;
  }

  target(edge: number): number {
    return this.#target[edge] as number;
  }

  /** The state of the longest suffix that ends at more positions; NONE for the empty string. */
  link(state: number): number {
    return this.#link[state] as number;
  }

  /** Number of positions at which a state's substrings end. */
  count(state: number): number {
    return this.#count[state] as number;
  }

  /** Number of tokens up to the newest position. */
  newest(state: number): number {
    return this.#newest[state] as number;
  }

  /** Length of a state's longest substring. */
  longest(state: number): number {
    return this.#longest[state] as number;
  }

  #addState(longest: number): number {
    const state = this.#nStates++;
    if (state === this.#longest.length) {
      this.#longest = doubled(this.#longest);
      this.#link = doubled(this.#link);
      this.#count = doubled(this.#count);
      this.#newest = doubled(this.#newest);
      this.#firstEdge = doubled(this.#firstEdge);
    }
    this.#longest[state] = longest;
    this.#firstEdge[state] = NONE;
    return state;
  }

  #addEdge(state: number, token: number, target: number): void {
    const edge = this.#nEdges++;
    if (edge === this.#source.length) {
      this.#source = doubled(this.#source);
      this.#token = doubled(this.#token);
      this.#target = doubled(this.#target);
      this.#nextEdge = doubled(this.#nextEdge);
      this.#slots = new Int32Array(2 * this.#slots.length);
      for (let i = 0; i < edge; i++) this.#insert(i);
    }
    this.#source[edge] = state;
    this.#token[edge] = token;
    this.#target[edge] = target;
    this.#nextEdge[edge] = this.firstEdge(state);
    this.#firstEdge[state] = edge;
    this.#insert(edge);
  }

  #insert(edge: number): void {
    const mask = this.#slots.length - 1;
    let slot = hash(this.#source[edge] as number, this.token(edge)) & mask;
    while (this.#slots[slot] !== 0) slot = (slot + 1) & mask;
    this.#slots[slot] = edge + 1;
  }
}

function doubled(array: Int32Array): Int32Array {
  const larger = new Int32Array(2 * array.length);
  larger.set(array);
  return larger;
}

/** Spreads (state, token) over 32 bits; the finaliser of murmur3. */
function hash(state: number, token: number): number {
  let h = Math.imul(state, 0x9e3779b1) ^ Math.imul(token, 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 15), 0xc2b2ae35);
  return h ^ (h >>> 16);
}
