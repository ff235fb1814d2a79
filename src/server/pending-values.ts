/** Most values that wait, so that memory is bounded if nobody reads the metrics. */
const MOST_PENDING = 1024;

/**
 * Values that wait until metrics are read: recording one with its labels takes several microseconds, which is too much
 * for every token.
 */
export class PendingValues {
  readonly #record: (value: number) => void;
  readonly #values = new Float64Array(MOST_PENDING);
  #n = 0;

  constructor(record: (value: number) => void) {
    this.#record = record;
  }

  push(value: number): void {
    this.#values[this.#n++] = value;
    if (this.#n === MOST_PENDING) this.flush();
  }

  /** Records them. */
  flush(): void {
    for (const value of this.#values.subarray(0, this.#n)) this.#record(value);
    this.#n = 0;
  }
}
