import { EpochOrder } from "./epoch-order.ts";

/** Sequences of one step. */
export const SEQUENCES_PER_STEP = 4;
/** Sequences that are visited in turn, so that a backend can keep their clean rows. */
export const ACTIVE_SEQUENCES = 32;
/** Steps until a sequence is visited again. */
const STEPS_PER_CYCLE = ACTIVE_SEQUENCES / SEQUENCES_PER_STEP;

/** A sequence of a step. */
export interface Visit {
  /** Place among the active sequences. */
  readonly slot: number;
  /** Index into the training rows. */
  readonly row: number;
  /** The sequence has just taken its slot. */
  readonly isFirst: boolean;
}

/**
 * Which training rows each step visits. Every row takes a slot for `visits` cycles, then the next one does; slots change
 * at different cycles, so that steps cost about the same. An epoch visits all rows, in an order of its own. A function of
 * seed, number of rows and step alone.
 */
export class Schedule {
  readonly #order: EpochOrder;
  readonly #visits: number;

  constructor(seed: number, nRows: number, visits: number) {
    // Slots are at most two epochs apart, unless there are fewer rows than slots.
    this.#order = new EpochOrder(seed, nRows, Math.ceil(ACTIVE_SEQUENCES / nRows) + 2);
    this.#visits = visits;
  }

  /** The visits of a step, counted from 0. With few rows, and where epochs meet, a row can occur twice. */
  visits(step: number): Visit[] {
    const cycle = Math.floor(step / STEPS_PER_CYCLE);
    const first = (step % STEPS_PER_CYCLE) * SEQUENCES_PER_STEP;
    return Array.from({ length: SEQUENCES_PER_STEP }, (_, i): Visit => {
      const slot = first + i;
      const age = cycle + this.#ageAtStart(slot);
      const turn = Math.floor(age / this.#visits);
      return {
        slot,
        row: this.#order.rowAt(turn * ACTIVE_SEQUENCES + slot),
        isFirst: cycle === 0 || age % this.#visits === 0,
      };
    });
  }

  /** Slots of one step change at different cycles, and so do those of steps after each other. */
  #ageAtStart(slot: number): number {
    const spread = Math.floor(((slot % SEQUENCES_PER_STEP) * this.#visits) / SEQUENCES_PER_STEP);
    return (Math.floor(slot / SEQUENCES_PER_STEP) + spread) % this.#visits;
  }
}
