import type { Proposed } from "../../compute/sampling/proposal.ts";
import { noCandidates, type Proposer } from "./proposer.ts";
import { NONE, ROOT, SuffixAutomaton } from "./suffix-automaton.ts";

/** Longest indexed text (tokens): the older half is dropped when it is exceeded. At most 18 MB. */
const MAX_TOKENS = 65_536;
/** Shorter contexts tried if a token of the path follows none; only highly repetitive text has more. */
const MAX_JUMPS = 64;
/** Contexts that alternatives come from, longest first. */
const MAX_CONTEXTS = 4;
/** Most continuations of a context that are considered, newest first. */
const MAX_CONTINUATIONS = 32;

/**
 * Absolute discount by the length of the context, DISCOUNT / length ** DECAY (Ney, Essen, Kneser, "On structuring probabilistic
 * dependences in stochastic language modelling", 1994): a token that followed n of N earlier occurrences follows again with
 * probability (n - discount) / N. Fitted by scripts/proposer-calibration.mjs on 353 answers of SmolLM2-135M-Instruct in a chat
 * (76,744 tokens; temperatures 0, 0.7 and 1).
 */
const DISCOUNT = 0.8;
const DECAY = 0.7;

export interface LookupOptions {
  /** Less likely tokens are not proposed. Default 0.25, which excludes what followed a single token once. */
  readonly minConfidence?: number;
}

/**
 * Prompt lookup: proposes the continuations of the longest suffix that occurred before, the most frequent one first,
 * newest first among equals, then those of shorter suffixes. A token of the text takes amortised constant time, a call
 * of `candidates` bounded time. Confidences are measured.
 */
export class LookupProposer implements Proposer {
  readonly kind = "lookup";
  readonly #minConfidence: number;
  /** Tokens that are not in the automaton yet. */
  #pending: number[] = [];
  #tokens: number[] = [];
  #automaton = new SuffixAutomaton();

  constructor({ minConfidence = 0.25 }: LookupOptions = {}) {
    this.#minConfidence = minConfidence;
  }

  observe(tokens: readonly number[]): void {
    for (const token of tokens) this.#pending.push(token);
  }

  candidates(path: readonly number[], count: number): Proposed {
    const end = this.#contextAfter(path);
    if (end === undefined) return noCandidates;
    const found = this.#continuations(end.state, end.length, count)
      .filter(({ confidence }) => confidence >= this.#minConfidence)
      .slice(0, count);
    if (found.length === 0) return noCandidates;
    return {
      tokens: Int32Array.from(found, ({ token }) => token),
      confidences: Float32Array.from(found, ({ confidence }) => confidence),
    };
  }

  /** Indexes new tokens, only on demand: without calls for candidates a text costs no time. */
  #indexed(): SuffixAutomaton {
    for (const token of this.#pending) {
      if (this.#tokens.length === MAX_TOKENS) this.#forget();
      this.#tokens.push(token);
      this.#automaton.append(token);
    }
    this.#pending = [];
    return this.#automaton;
  }

  /** The longest suffix of text and path that occurs in the text, and its length. */
  #contextAfter(path: readonly number[]): { readonly state: number; readonly length: number } | undefined {
    const automaton = this.#indexed();
    let state = automaton.last;
    let length = automaton.longest(state);
    let jumps = 0;
    for (const token of path) {
      let edge = automaton.edge(state, token);
      while (edge === NONE && state !== ROOT) {
        if (++jumps > MAX_JUMPS) return undefined;
        state = automaton.link(state);
        length = automaton.longest(state);
        edge = automaton.edge(state, token);
      }
      if (edge === NONE) continue;
      state = automaton.target(edge);
      length++;
    }
    return { state, length };
  }

  /** Continuations of a context, then those of shorter ones that the longer ones do not have. */
  #continuations(context: number, contextLength: number, count: number): Continuation[] {
    const automaton = this.#automaton;
    const all: Continuation[] = [];
    let state = context;
    let length = contextLength;
    let rest = 1;
    for (let used = 0; used < MAX_CONTEXTS && state > ROOT && all.length < count; ) {
      const found: Continuation[] = [];
      let total = 0;
      let edge = automaton.firstEdge(state);
      for (let i = 0; edge !== NONE && i < MAX_CONTINUATIONS; i++, edge = automaton.nextEdge(edge)) {
        const token = automaton.token(edge);
        if (all.some((other) => other.token === token)) continue;
        const target = automaton.target(edge);
        const times = automaton.count(target);
        total += times;
        found.push({ token, times, newest: automaton.newest(target), confidence: 0 });
      }
      const discount = discountOf(length);
      for (const one of found) one.confidence = rest * ((one.times - discount) / total);
      found.sort((a, b) => b.times - a.times || b.newest - a.newest);
      all.push(...found);
      rest -= found.reduce((sum, { confidence }) => sum + confidence, 0);
      if (found.length > 0) used++;
      state = automaton.link(state);
      length = automaton.longest(state);
    }
    return all.sort((a, b) => b.confidence - a.confidence);
  }

  #forget(): void {
    this.#tokens = this.#tokens.slice(MAX_TOKENS / 2);
    this.#automaton = new SuffixAutomaton();
    for (const token of this.#tokens) this.#automaton.append(token);
  }
}

interface Continuation {
  readonly token: number;
  readonly times: number;
  readonly newest: number;
  confidence: number;
}

function discountOf(length: number): number {
  return DISCOUNT / length ** DECAY;
}
