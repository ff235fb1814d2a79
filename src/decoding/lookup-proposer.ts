import type { Proposed } from "../compute/backend.ts";
import { noCandidates, type Proposer } from "./proposer.ts";

/** Candidates looked at per round, newest first: bounds the time per token on repetitive text. */
const MAX_CANDIDATES = 32;
/** Longer matches count alike: the newest one wins. */
const MAX_MATCH = 32;

/**
 * Prompt lookup: proposes what followed the longest earlier occurrence of the text's end (at least two tokens), the
 * newest of several. Occurrences are found by a chain of hashes of token pairs, as in LZ77, so that a token costs
 * constant time; the occurrence that was followed last stays a candidate however old it is.
 */
export class LookupProposer implements Proposer {
  readonly kind = "lookup";
  readonly #tokens: number[] = [];
  /** By pair: where its second token stands, for the newest occurrence. */
  readonly #newest = new Map<number, number>();
  /** By position of a pair's second token: the occurrence before; -1: none. */
  readonly #older: number[] = [];
  /** Position of the token that the text's last token continued as; -1: none. */
  #followed = -1;
  /** Where the earlier occurrence of the text's end ends, in this round; -1: none. */
  #match = -1;

  observe(tokens: readonly number[]): void {
    for (const token of tokens) {
      const at = this.#tokens.push(token) - 1;
      this.#followed = this.#followed >= 0 && this.#tokens[this.#followed + 1] === token ? this.#followed + 1 : -1;
      const key = this.#pairAt(at);
      this.#older.push(this.#newest.get(key) ?? -1);
      if (at > 0) this.#newest.set(key, at);
    }
  }

  candidates(path: readonly number[]): Proposed {
    if (path.length === 0) this.#match = this.#longestMatch();
    if (this.#match < 0) return noCandidates;
    this.#followed = this.#match;
    // Where a match runs into the text's end it goes on with what it proposed itself: a period.
    const tokenAt = (at: number) => this.#tokens[at] ?? path[at - this.#tokens.length];
    if (path.some((token, i) => token !== tokenAt(this.#match + 1 + i))) return noCandidates;
    const token = tokenAt(this.#match + 1 + path.length);
    return token === undefined ? noCandidates : { tokens: Int32Array.of(token), confidences: Float32Array.of(0.5) };
  }

  /** Where the longest earlier occurrence of the text's end ends; -1: none. */
  #longestMatch(): number {
    const end = this.#tokens.length - 1;
    let best = -1;
    let bestLength = 1;
    const consider = (at: number) => {
      const length = this.#matchLength(at, end);
      if (length > bestLength) {
        best = at;
        bestLength = length;
      }
    };
    let candidate = this.#older[end] ?? -1;
    for (let i = 0; i < MAX_CANDIDATES && candidate >= 0 && bestLength < MAX_MATCH; i++) {
      consider(candidate);
      candidate = this.#older[candidate] ?? -1;
    }
    if (this.#followed >= 0) consider(this.#followed);
    return best;
  }

  #matchLength(at: number, end: number): number {
    let length = 0;
    while (length < MAX_MATCH && at - length >= 0 && this.#tokens[at - length] === this.#tokens[end - length]) length++;
    return length;
  }

  /** Ids are below 2^22 (a model's largest vocabulary), so a pair is a whole number below 2^53. */
  #pairAt(at: number): number {
    return (this.#tokens[at - 1] ?? 0) * 2 ** 24 + (this.#tokens[at] ?? 0);
  }
}
