/**
 * usual: noise, and now and then a slow step. fresh: a new process, too, whose first steps are slow: its weights are not in memory,
 * the adapter's not in the CPU's caches, its code not compiled. shared: a core is shared with other programs, too.
 */
export type Conditions = "usual" | "fresh" | "shared";

/** Relative noise of a step's time, and how often and how much longer a step takes for external reasons. */
const NOISE = 0.05;
const SLOW_EVERY = 100;
const SLOW = 6;
/**
 * A fresh process: the first forward of a prompt, and the first steps with MASK rows and of all, relative to later ones. The excess
 * halves in this many steps of the kind. As measured with `idlm run`: docs/results.md.
 */
const FIRST_PROMPT = 8;
const FIRST_MASKS = 3;
const FIRST_STEPS = 2;
const HALF_LIFE = 4;
/** A shared core: milliseconds of the scheduler's tick. After about one of work, the other program runs for one or two. */
const TICK_MS = 4;

/** Measured times of steps, from their costs. */
export class Delays {
  readonly #conditions: Conditions;
  readonly #random: () => number;
  #steps = 0;
  #maskSteps = 0;
  /** Milliseconds of work left until another program runs. */
  #slice = TICK_MS;

  constructor(conditions: Conditions, random: () => number) {
    this.#conditions = conditions;
    this.#random = random;
  }

  /** Milliseconds that a step takes whose cost is `ms`. */
  measure({ maskRows }: { readonly maskRows: number }, ms: number): number {
    const normal = Math.sqrt(-2 * Math.log(1 - this.#random())) * Math.cos(2 * Math.PI * this.#random());
    const slow = this.#random() < 1 / SLOW_EVERY ? SLOW : 1;
    const own = ms * Math.exp(NOISE * normal) * slow * this.#start(maskRows > 0);
    return this.#conditions === "shared" ? own + this.#waiting(own) : own;
  }

  #start(hasMasks: boolean): number {
    const excess = (first: number, step: number) => 1 + (first - 1) * 0.5 ** (step / HALF_LIFE);
    const ofSteps = this.#steps === 0 ? FIRST_PROMPT : excess(FIRST_STEPS, this.#steps);
    const ofMasks = hasMasks ? excess(FIRST_MASKS, this.#maskSteps) : 1;
    this.#steps++;
    if (hasMasks) this.#maskSteps++;
    return this.#conditions === "usual" ? 1 : Math.max(ofSteps, ofMasks);
  }

  #waiting(ms: number): number {
    let waiting = 0;
    for (this.#slice -= ms; this.#slice < 0; this.#slice += TICK_MS) {
      waiting += TICK_MS * (this.#random() < 1 / 2 ? 1 : 2);
    }
    return waiting;
  }
}
