import { philox4 } from "../compute/sampling/philox.ts";

/** Purpose of random numbers. Each has its own stream, so that none depends on draws of another. */
export const Stream = {
  order: 0,
  anchors: 1,
  roundStarts: 2,
  parameters: 3,
  temperatures: 16,
  prompts: 17,
  answers: 18,
  questions: 19,
  passages: 20,
} as const;
export type Stream = (typeof Stream)[keyof typeof Stream];

/**
 * Counter-based random numbers: number i of (seed, stream, a, b) does not depend on earlier draws, so a resumed run
 * draws the same numbers as an uninterrupted one.
 */
export class Random {
  readonly #key: readonly [number, number];
  readonly #counter: readonly [number, number, number];
  #words: readonly number[] = [];
  #next = 0;

  constructor(seed: number, stream: Stream, a = 0, b = 0) {
    this.#key = [seed >>> 0, Math.floor(seed / 2 ** 32) >>> 0];
    this.#counter = [a >>> 0, b >>> 0, stream];
  }

  /** Uniform in (0, 1), from 32 bits. */
  uniform(): number {
    const at = this.#next % 4;
    if (at === 0) this.#words = philox4([this.#next / 4, ...this.#counter], this.#key);
    this.#next++;
    return ((this.#words[at] ?? 0) + 0.5) / 2 ** 32;
  }

  /** A whole number from 0 below `n`. */
  below(n: number): number {
    return Math.floor(this.uniform() * n);
  }

  /** A seed of a request: a whole number from 0 below 2^53. */
  seed(): number {
    return this.below(2 ** 21) * 2 ** 32 + this.below(2 ** 32);
  }

  /** Mean 0, variance 1: the sum of 12 uniform numbers less 6, which needs no function whose bits depend on the machine. */
  normal(): number {
    let sum = -6;
    for (let i = 0; i < 12; i++) sum += this.uniform();
    return sum;
  }

  /** `count` distinct numbers from 0 to n - 1, ascending; at most n. */
  distinct(count: number, n: number): number[] {
    return [...this.#shuffled(Math.min(count, n), n)].sort((a, b) => a - b);
  }

  /** The numbers from 0 below `n`, in random order. */
  permutation(n: number): number[] {
    return this.#shuffled(n, n);
  }

  /** The first `count` numbers of a random order of 0 … n − 1 (Fisher and Yates). */
  #shuffled(count: number, n: number): number[] {
    const order = Array.from({ length: n }, (_, i) => i);
    for (let i = 0; i < count; i++) {
      const j = i + this.below(n - i);
      [order[i], order[j]] = [order[j] as number, order[i] as number];
    }
    return order.slice(0, count);
  }
}
