import type { StepObservation } from "./cost-model.ts";

/** Steps of one comparison with plain decoding, and the share of its speed below which proposing pauses. */
const AUDIT_STEPS = 64;
const LEAST_GAIN = 0.97;
/** Steps of a pause: doubled after each comparison without a gain, up to the longest. */
const FIRST_PAUSE = 48;
const LONGEST_PAUSE = 1536;
/** EMA window of plain steps' times (steps). */
const PLAIN_WINDOW = 24;

/**
 * Compares the measured speed of rounds with that of plain decoding, independently of the estimates: these may be wrong, and
 * planning takes time for each sequence of a batch. In replay it gains nothing, where costs are as the cost model assumes; it is
 * what keeps the promise on other machines. If proposing was slower, all sequences of the model are decoded plainly for
 * a while, which also measures plain decoding again.
 */
export class Audit {
  /** Milliseconds of plain steps without planning, by number of sequences. */
  readonly #plainMs = new Map<number, number>();
  #steps = 0;
  /** Estimated milliseconds of plain decoding for the same tokens, and the measured milliseconds of the steps. */
  #plain = 0;
  #ms = 0;
  #nextPause = FIRST_PAUSE;
  /** Steps left of the pause. */
  #paused = 0;

  get isPaused(): boolean {
    return this.#paused > 0;
  }

  /** `isPlanned`: planners chose the rounds of at least one sequence. `hasSkipped`: a planner did not propose. */
  observe(step: StepObservation, { isPlanned, hasSkipped }: { isPlanned: boolean; hasSkipped: boolean }): void {
    const { tokenRows, drawnRows, maskRows, sequences, tokens, ms } = step;
    if (tokenRows !== drawnRows || sequences === 0) return;
    const plainMs = this.#plainMs.get(sequences);
    if (this.#paused > 0 && hasSkipped) this.#paused--;
    if (!isPlanned || plainMs === undefined) {
      if (drawnRows > sequences || maskRows > 0) return;
      const before = plainMs ?? ms;
      // A much longer step was disturbed by another program.
      this.#plainMs.set(sequences, before + (Math.min(ms, 2 * before) - before) / PLAIN_WINDOW);
      return;
    }
    this.#steps++;
    this.#plain += (tokens / sequences) * plainMs;
    this.#ms += Math.min(ms, 8 * plainMs);
    if (this.#steps < AUDIT_STEPS) return;
    if (this.#plain < LEAST_GAIN * this.#ms) {
      this.#paused = this.#nextPause;
      this.#nextPause = Math.min(LONGEST_PAUSE, 2 * this.#nextPause);
    } else this.#nextPause = FIRST_PAUSE;
    this.#steps = 0;
    this.#plain = 0;
    this.#ms = 0;
  }
}
