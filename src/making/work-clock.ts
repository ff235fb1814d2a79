/** How often the time of unfinished work is stored: a kill loses as much of it. */
const SAVE_MS = 5000;

/**
 * Accumulates the time of work over sessions. It counts by a clock that never jumps, and only while a session runs, so that
 * pauses and changes of the machine's date do not matter.
 */
export class WorkClock {
  readonly #earlierMs: number;
  readonly #save: (workMs: number) => void;
  readonly #now: () => number;
  readonly #startMs: number;
  #savedMs: number;

  constructor(earlierMs: number, save: (workMs: number) => void, now: () => number = () => performance.now()) {
    this.#earlierMs = earlierMs;
    this.#save = save;
    this.#now = now;
    this.#startMs = now();
    this.#savedMs = this.#startMs;
  }

  get workMs(): number {
    return this.#earlierMs + this.#now() - this.#startMs;
  }

  /** Stores the time if that is due. */
  tick(): void {
    const nowMs = this.#now();
    if (nowMs - this.#savedMs < SAVE_MS) return;
    this.#savedMs = nowMs;
    this.#save(this.workMs);
  }
}
