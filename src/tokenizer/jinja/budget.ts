import { LimitExceeded } from "./errors.ts";

/**
 * Steps of one rendering. A step is a node evaluated, or 32 characters or elements handled. A conversation of a thousand
 * messages takes about 100,000 steps; a template that reaches the limit is in an endless loop or takes all memory.
 */
const MAX_STEPS = 10_000_000;
const ELEMENTS_PER_STEP = 32;
/** Rendering lets the program's other work run after this many steps (some 10 ms). */
const STEPS_PER_TURN = 100_000;
/** Twice the largest conversation that can be read; longer texts fit into no context. */
export const MAX_LENGTH = 32 * 2 ** 20;

/** Counts what a template does, so that an untrusted one can neither run forever nor take all memory. */
export class Budget {
  #steps = 0;
  #turnEnds = STEPS_PER_TURN;
  readonly #max: number;

  constructor(max = MAX_STEPS) {
    this.#max = max;
  }

  /** @throws LimitExceeded. */
  step(): void {
    if (++this.#steps > this.#max) throw new LimitExceeded(`it did not finish within ${this.#max} steps`);
  }

  /** Accounts for a text or a list of `length` before it is made. @throws LimitExceeded. */
  spend(length: number): void {
    if (length > MAX_LENGTH)
      throw new LimitExceeded(`a text or list of ${length} elements is longer than ${MAX_LENGTH}`);
    this.#steps += length / ELEMENTS_PER_STEP;
    this.step();
  }

  /** Whether it is time to let other work run; starts the next turn. */
  endsTurn(): boolean {
    if (this.#steps < this.#turnEnds) return false;
    this.#turnEnds = this.#steps + STEPS_PER_TURN;
    return true;
  }
}
