/**
 * Steps with proposals or MASK rows after which plain decoding is measured again. The first value, also used after the number of
 * sequences changed by half, is doubled each time, up to the longest.
 */
const FIRST_INTERVAL = 8;
const LONGEST_INTERVAL = 150;

/** Inserts plain steps now and then. Without them, costs that all rounds share would be attributed to plain decoding. */
export class PlainSteps {
  /** Steps since the last plain one, and those after which the next one is due. */
  #since = 0;
  #interval = FIRST_INTERVAL;
  #sequences = 1;

  get isDue(): boolean {
    return this.#since >= this.#interval;
  }

  observe(sequences: number, isPlain: boolean): void {
    if (!isPlain) {
      this.#since++;
      return;
    }
    const isOther = Math.abs(sequences - this.#sequences) > this.#sequences / 2;
    this.#sequences = sequences;
    if (isOther) this.#interval = FIRST_INTERVAL;
    else if (this.isDue) this.#interval = Math.min(LONGEST_INTERVAL, 2 * this.#interval);
    this.#since = 0;
  }
}
