/** As many tokens that come a second time in a row count as a loop: what follows mostly repeats them, too. */
export const REPEATED_TOKENS = 12;

/** Finds the first repetition of a run of tokens. */
export class RepeatedRun {
  readonly #nTokens: number;
  readonly #last: number[] = [];
  readonly #seen = new Set<string>();
  #length = 0;

  constructor(nTokens: number) {
    this.#nTokens = nTokens;
  }

  /** Takes the next token. Returns where the second of two equal runs begins (they may overlap) as soon as it is complete. */
  push(token: number): number | undefined {
    this.#length++;
    this.#last.push(token);
    if (this.#last.length > this.#nTokens) this.#last.shift();
    if (this.#last.length < this.#nTokens) return undefined;
    const run = this.#last.join();
    if (this.#seen.has(run)) return this.#length - this.#nTokens;
    this.#seen.add(run);
    return undefined;
  }
}
