/**
 * The first steps with MASK rows are slow, since the adapter's weights are not in the caches yet and the code that proposes is not
 * compiled: measured, they would end all further ones. So they are not, and they and some more that are measured are taken
 * whether MASK rows seem to pay or not.
 */
const WARM_UP_STEPS = 8;
const TRIAL_STEPS = 12;
/** Later, tokens of a step spent on rows that do not seem to pay, since their cost and acceptance change: initial and least. */
const PER_STEP = 0.01;
const LEAST_PER_STEP = 0.002;
/** Factor of them after each attempt, so that text on which nothing pays loses next to nothing. */
const BACK_OFF = 0.8;
/** Steps without MASK rows before they are explored: shorter gaps occur where they do pay. */
const UNTRIED_STEPS = 3;

/** Decides when MASK rows and drafts that do not seem to pay are tried. */
export class Exploration {
  #maskSteps = 0;
  /** Tokens that may be spent, and how many each step adds, whatever the number of sequences. */
  #credit = 0;
  #perStep = PER_STEP;
  /** Steps since MASK rows were last chosen for their value. */
  #sinceMasks = 0;
  /** Whether a sequence of the next step explores. */
  #isExploring = false;

  /** Whether a step's time tells what later ones will take. */
  isTypical(maskRows: number): boolean {
    return maskRows === 0 || this.#maskSteps >= WARM_UP_STEPS;
  }

  observe(maskRows: number, sequences: number): void {
    if (sequences > 0) {
      if (maskRows > 0) this.#maskSteps++;
      this.#credit += this.#perStep;
      this.#sinceMasks = maskRows > 0 && !this.#isExploring ? 0 : this.#sinceMasks + 1;
      if (this.#sinceMasks === 0) this.#perStep = PER_STEP;
    }
    this.#isExploring = false;
  }

  /** A sequence starts: its acceptance may differ from earlier ones, so as much is spent as at first. */
  addSequence(): void {
    this.#perStep = PER_STEP;
  }

  /** Whether a round gets a MASK row although it may not pay; it costs `price` tokens. One sequence of a step does. */
  takesMaskRow(price: number): boolean {
    if (this.#isExploring) return false;
    const isOnTrial = this.#maskSteps < TRIAL_STEPS;
    this.#isExploring = isOnTrial || (this.#sinceMasks >= UNTRIED_STEPS && this.spend(price));
    return this.#isExploring;
  }

  /** Spends credit on an attempt of this price; false if there is not enough. */
  spend(tokens: number): boolean {
    if (this.#credit < tokens) return false;
    this.#credit -= tokens;
    this.#perStep = Math.max(LEAST_PER_STEP, this.#perStep * BACK_OFF);
    return true;
  }
}
