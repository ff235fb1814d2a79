import type { StepObservation } from "./cost-model.ts";

/**
 * Tokens of a sequence that may be lost before proposing pauses: chance alone rarely loses as many. The mean of n sequences
 * varies less, by sqrt(n).
 */
const MAX_LOSS = 4;
/** Steps of a pause: doubled after each one without a gain since, up to the longest. */
const FIRST_PAUSE = 32;
const LONGEST_PAUSE = 512;
/** Steps with planned rounds after which plain decoding is measured again; fewer as long as it was seldom measured. */
const PLAIN_EVERY = 256;
/** EMA window of the time of plain steps (steps). */
const PLAIN_WINDOW = 8;

/** Time of plain steps of a number of sequences. */
interface PlainTime {
  readonly ms: number;
  /** Measured ones, less than PLAIN_WINDOW; 0: all of them had prompts, too. */
  readonly n: number;
  /** Planned steps before the last of them, measured or not. */
  readonly at: number;
}

/**
 * Compares the measured speed with that of plain decoding, which is measured now and then, independently of all estimates:
 * these may be wrong, and they do not include what planning itself takes. If planned rounds were slower, all sequences of the
 * model are decoded plainly for a while.
 */
export class PlainCheck {
  /** By number of sequences. */
  readonly #plain = new Map<number, PlainTime>();
  /** Planned steps so far. */
  #planned = 0;
  /** Tokens per sequence that planned rounds gained over plain decoding. */
  #gained = 0;
  /** Steps left of the pause, and of the next one. */
  #pause = 0;
  #nextPause = FIRST_PAUSE;

  /** Whether the next step has to be plain. */
  isPlainDue(sequences: number): boolean {
    const plain = this.#plain.get(sequences);
    if (this.#pause > 0 || plain === undefined) return true;
    return this.#planned - plain.at > (PLAIN_EVERY * Math.max(1, plain.n)) / PLAIN_WINDOW;
  }

  /** `isPlanned`: planners proposed, even if no row was chosen. */
  observe({ tokenRows, drawnRows, maskRows, sequences, tokens, ms }: StepObservation, isPlanned: boolean): void {
    if (sequences === 0) return;
    const plain = this.#plain.get(sequences);
    // Prompts take time that is not that of decoding.
    const hasPrompts = tokenRows !== drawnRows;
    if (!isPlanned) {
      if (drawnRows > sequences || maskRows > 0) return;
      this.#pause = Math.max(0, this.#pause - 1);
      const { ms: before, n } = plain ?? { ms, n: 0 };
      const weight = hasPrompts ? 0 : 1 / (n + 1);
      // A much longer step was disturbed by another program.
      const mean = n === 0 ? ms : before + (Math.min(ms, 2 * before) - before) * weight;
      this.#plain.set(sequences, {
        ms: mean,
        n: Math.min(PLAIN_WINDOW - 1, n + (hasPrompts ? 0 : 1)),
        at: this.#planned,
      });
      return;
    }
    this.#planned++;
    if (plain === undefined || plain.n === 0 || hasPrompts) return;
    const limit = MAX_LOSS / Math.sqrt(sequences);
    // One slow step alone says little.
    const gained = Math.max(-limit / 2, tokens / sequences - ms / plain.ms);
    this.#gained = Math.min(limit, this.#gained + gained);
    if (this.#gained === limit) this.#nextPause = FIRST_PAUSE;
    if (this.#gained > -limit) return;
    this.#gained = 0;
    this.#pause = this.#nextPause;
    this.#nextPause = Math.min(LONGEST_PAUSE, 2 * this.#nextPause);
  }
}
