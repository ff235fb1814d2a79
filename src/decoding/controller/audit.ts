import type { StepObservation } from "./cost-model.ts";

/** Steps over which what was written is held against plain decoding, and below which share of it nothing is proposed for a while. */
const AUDIT_STEPS = 64;
const LEAST_GAIN = 0.97;
/** Steps of such a rest: doubled each time that nothing was gained again, up to the most. */
const FIRST_REST = 48;
const MOST_REST = 1536;
/** Memory of plain steps' times, in steps. */
const PLAIN_MEMORY = 24;

/**
 * Whether proposing pays, by what was written and how long it took, whatever prices and acceptances say: planning itself takes
 * time, for each text of a batch, and prices are estimates. Where it did not, all texts of the model are written plainly for a
 * while, which also tells what plain decoding takes now.
 */
export class Audit {
  /** Milliseconds of plain steps that nobody planned, by sequences. */
  readonly #plainMs = new Map<number, number>();
  #steps = 0;
  /** What the steps' tokens take in plain decoding, and what the steps took. */
  #plain = 0;
  #ms = 0;
  #rest = FIRST_REST;
  #resting = 0;

  get isResting(): boolean {
    return this.#resting > 0;
  }

  /** What the planners did: chose the rounds of one of the sequences at least, or rested where they would have chosen. */
  observe(step: StepObservation, { isPlanned, hasRested }: { isPlanned: boolean; hasRested: boolean }): void {
    const { tokenRows, drawnRows, maskRows, sequences, tokens, ms } = step;
    if (tokenRows !== drawnRows || sequences === 0) return;
    const plainMs = this.#plainMs.get(sequences);
    if (this.#resting > 0 && hasRested) this.#resting--;
    if (!isPlanned || plainMs === undefined) {
      if (drawnRows > sequences || maskRows > 0) return;
      const before = plainMs ?? ms;
      // One that took much longer was another program's.
      this.#plainMs.set(sequences, before + (Math.min(ms, 2 * before) - before) / PLAIN_MEMORY);
      return;
    }
    this.#steps++;
    this.#plain += (tokens / sequences) * plainMs;
    this.#ms += Math.min(ms, 8 * plainMs);
    if (this.#steps < AUDIT_STEPS) return;
    if (this.#plain < LEAST_GAIN * this.#ms) {
      this.#resting = this.#rest;
      this.#rest = Math.min(MOST_REST, 2 * this.#rest);
    } else this.#rest = FIRST_REST;
    this.#steps = 0;
    this.#plain = 0;
    this.#ms = 0;
  }
}
