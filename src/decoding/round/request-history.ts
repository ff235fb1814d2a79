/** Number of requests by level below the last verified token, and the largest number of candidates requested. */
export interface RequestCounts {
  readonly widths: readonly number[];
  readonly count: number;
}

/**
 * Rounds that the estimate is based on. A level that was expected but is not needed takes some hundredths of a millisecond of
 * the forward, a request that was not expected a call of its own, which takes five to ten times as long.
 */
const ROUNDS = 4;

/** Requests of a sequence in its last rounds, as an estimate for the next one. */
export class RequestHistory {
  /** The latest one last. */
  readonly #rounds: RequestCounts[] = [];
  #widths: number[] = [];
  #count = 0;

  /** Records a request of the current round. */
  add(level: number, count: number): void {
    while (this.#widths.length <= level) this.#widths.push(0);
    this.#widths[level] = (this.#widths[level] ?? 0) + 1;
    this.#count = Math.max(this.#count, count);
  }

  /** Ends the current round. Returns the expected requests of the next one: the most of the last rounds. */
  next(): RequestCounts {
    this.#rounds.push({ widths: this.#widths, count: this.#count });
    if (this.#rounds.length > ROUNDS) this.#rounds.shift();
    this.#widths = [];
    this.#count = 0;
    const widths: number[] = [];
    let count = 0;
    for (const round of this.#rounds) {
      round.widths.forEach((width, level) => {
        widths[level] = Math.max(widths[level] ?? 0, width);
      });
      count = Math.max(count, round.count);
    }
    return { widths, count };
  }
}
