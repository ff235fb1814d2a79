/** Requests of a round's proposals by level below the last verified token, and the most candidates of one. */
export interface RequestCounts {
  readonly widths: readonly number[];
  readonly count: number;
}

/** What a sequence requested of the model in its last two rounds: most probably no less in the next one. */
export class RequestHistory {
  #before: RequestCounts = { widths: [], count: 0 };
  #widths: number[] = [];
  #count = 0;

  /** A request of the round that is being chosen. */
  add(level: number, count: number): void {
    while (this.#widths.length <= level) this.#widths.push(0);
    this.#widths[level] = (this.#widths[level] ?? 0) + 1;
    this.#count = Math.max(this.#count, count);
  }

  /** The round is chosen: what to expect of the next one. */
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
