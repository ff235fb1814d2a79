import type { Proposed } from "../../compute/sampling/proposal.ts";
import { noCandidates, type Proposer } from "./proposer.ts";

/** Positions of the prediction that are compared on each side of the expected one. */
const MAX_PLACES = 16;
/** Longer matches count as equal: the nearest one is chosen. */
const MAX_MATCH = 32;
/** After a divergence a single token is searched this far ahead: a few tokens were replaced or left out. */
const MAX_SKIP = 8;

/**
 * Share of the proposals that are rejected after a match of one token, and its decay with longer matches, MISSES / length **
 * DECAY; share of answers that start as predicted; acceptance of proposals from another match. Fitted by
 * scripts/proposer-calibration.mjs on 32 answers of SmolLM2-135M-Instruct to requests to rewrite a text or code (2,877 tokens;
 * temperatures 0 and 0.7), with the original as the prediction.
 */
const MISSES = 0.6;
const DECAY = 0.75;
const STARTS_ALIKE = 0.8;
const IS_ELSEWHERE = 0.05;

/** A position in the prediction. */
interface Cursor {
  /** Index of the token expected next. */
  readonly at: number;
  /** Length of the match before it, up to MAX_MATCH; 0: the text has just diverged. */
  readonly run: number;
}

/**
 * Predicted output: follows the text in the prediction from its start and proposes the tokens that come next there.
 * After a divergence it realigns by the last tokens: at the longest match, the nearest one among equals. Bounded time
 * per token; about 100 bytes of memory per token of the prediction.
 */
export class PredictedProposer implements Proposer {
  readonly kind = "predicted";
  readonly #prediction: Int32Array;
  /** By pair of tokens: the positions after its occurrences, ascending. */
  readonly #places = new Map<number, number[]>();
  /** Recent output, without the prompt. */
  #output: number[] = [];
  #hasPrompt = false;
  #cursor: Cursor = { at: 0, run: 0 };

  /** `prediction`: token ids. */
  constructor(prediction: ArrayLike<number>) {
    this.#prediction = Int32Array.from(prediction);
    for (let at = 2; at <= this.#prediction.length; at++) {
      const key = pairKey(this.#prediction[at - 2], this.#prediction[at - 1]);
      const places = this.#places.get(key);
      if (places === undefined) this.#places.set(key, [at]);
      else places.push(at);
    }
  }

  observe(tokens: readonly number[]): void {
    if (!this.#hasPrompt) {
      this.#hasPrompt = true;
      return;
    }
    for (const token of tokens) {
      this.#output.push(token);
      this.#cursor = this.#advance(this.#cursor, this.#output);
    }
    if (this.#output.length > 2 * MAX_MATCH) this.#output = this.#output.slice(-MAX_MATCH);
  }

  candidates(path: readonly number[], count: number): Proposed {
    const text = [...this.#output];
    let cursor = this.#cursor;
    for (const token of path) {
      text.push(token);
      cursor = this.#advance(cursor, text);
    }
    const found = new Map<number, number>();
    const add = (at: number, confidence: number) => {
      const token = this.#prediction[at];
      if (token !== undefined && !found.has(token)) found.set(token, confidence);
    };
    // After a divergence the next predicted tokens were accepted in one of 20 cases: not worth a row.
    if (text.length > 0 && cursor.run === 0) return noCandidates;
    add(cursor.at, text.length === 0 ? STARTS_ALIKE : confidenceOf(cursor.run));
    if (count > 1) for (const { at } of this.#matches(text, cursor.at)) add(at, IS_ELSEWHERE);
    const tokens = [...found.keys()].slice(0, count);
    if (tokens.length === 0) return noCandidates;
    return {
      tokens: Int32Array.from(tokens),
      confidences: Float32Array.from(tokens, (token) => found.get(token) as number),
    };
  }

  /** Position after the new, last token of the text. */
  #advance(cursor: Cursor, text: readonly number[]): Cursor {
    const token = text.at(-1) as number;
    if (this.#prediction[cursor.at] === token) return { at: cursor.at + 1, run: Math.min(MAX_MATCH, cursor.run + 1) };
    const [match] = this.#matches(text, cursor.at);
    if (match !== undefined) return match;
    for (let skip = 1; skip <= MAX_SKIP; skip++) {
      if (this.#prediction[cursor.at + skip] === token) return { at: cursor.at + skip + 1, run: 1 };
    }
    return { at: cursor.at, run: 0 };
  }

  /** Matches of at least the last two tokens near a position: the longest first, nearest first among equals. */
  #matches(text: readonly number[], near: number): Cursor[] {
    const places = this.#places.get(pairKey(text.at(-2), text.at(-1))) ?? [];
    const middle = firstNotBelow(places, near);
    return places
      .slice(Math.max(0, middle - MAX_PLACES), middle + MAX_PLACES)
      .map((at) => ({ at, run: this.#matchLength(text, at) }))
      .sort((a, b) => b.run - a.run || Math.abs(a.at - near) - Math.abs(b.at - near) || b.at - a.at);
  }

  #matchLength(text: readonly number[], at: number): number {
    let length = 0;
    while (length < MAX_MATCH && length < text.length && length < at) {
      if (this.#prediction[at - 1 - length] !== text[text.length - 1 - length]) break;
      length++;
    }
    return length;
  }
}

function confidenceOf(run: number): number {
  return 1 - MISSES / run ** DECAY;
}

/** Ids are below 2^22, more than any vocabulary, so a pair is an integer below 2^53; undefined: no pair. */
function pairKey(first: number | undefined, second: number | undefined): number {
  return first === undefined || second === undefined ? -1 : first * 2 ** 24 + second;
}

/** Index of the first of ascending numbers that is at least `value`. */
function firstNotBelow(numbers: readonly number[], value: number): number {
  let [low, high] = [0, numbers.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((numbers[middle] as number) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
