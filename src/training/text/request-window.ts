/** Requests that may be done and wait for an earlier one, for each that runs: it bounds memory, and work lost at the end. */
const WAITING_PER_RUNNING = 8;

/** Runs requests side by side, and hands out their results in the order in which they were begun. */
export class RequestWindow<T> {
  readonly #concurrency: number;
  readonly #begin: () => Promise<T>;
  readonly #results: Promise<T>[] = [];
  #nRunning = 0;
  #isOpen = true;

  /** `begin` begins the next request. */
  constructor(concurrency: number, begin: () => Promise<T>) {
    this.#concurrency = concurrency;
    this.#begin = begin;
  }

  /** The result of the next request in order. */
  async next(): Promise<T> {
    this.#fill();
    const [first] = this.#results;
    if (first === undefined) throw new Error("a window that is closed");
    const result = await first;
    void this.#results.shift();
    this.#fill();
    return result;
  }

  /** Begins no more requests, and waits for those that run. Their results are dropped. */
  async close(): Promise<void> {
    this.#isOpen = false;
    await Promise.allSettled(this.#results);
  }

  async #run(): Promise<T> {
    try {
      return await this.#begin();
    } finally {
      this.#nRunning--;
      this.#fill();
    }
  }

  #fill(): void {
    while (
      this.#isOpen &&
      this.#nRunning < this.#concurrency &&
      this.#results.length < WAITING_PER_RUNNING * this.#concurrency
    ) {
      this.#nRunning++;
      const result = this.#run();
      // Awaiting callers get the error; without one it is ignored.
      result.catch(() => {});
      this.#results.push(result);
    }
  }
}
