/** Number of requests by level below the last verified token, and the largest number of candidates requested. */
export interface RequestCounts {
  readonly widths: readonly number[];
  readonly count: number;
}

/** Requests of a sequence in its last two rounds, as an estimate for the next one. */
export class RequestHistory {
  #before: RequestCounts = { widths: [], count: 0 };
  #widths: number[] = [];
  #count = 0;

  /** Records a request of the current round. */
  add(level: number, count: number): void {
    while (this.#widths.length <= level) this.#widths.push(0);
    this.#widths[level] = (this.#widths[level] ?? 0) + 1;
    this.#count = Math.max(this.#count, count);
  }

  /** Ends the current round. Returns the expected requests of the next one. */
  next(): RequestCounts {
    const last = { widths: this.#widths, count: this.#count };
    const before = this.#before;
    const nLevels = Math.max(before.widths.length, last.widths.length);
    this.#before = last;
    this.#widths = [];
    this.#count = 0;
    return {
      widths: Array.from({ length: nLevels }, (_, i) => Math.max(before.widths[i] ?? 0, last.widths[i] ?? 0)),
      count: Math.max(before.count, last.count),
    };
  }
}
