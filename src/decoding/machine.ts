import { CostModel, type StepWork } from "./cost-model.ts";
import { Prices } from "./prices.ts";

/** A step as the engine saw it: proposing, the forward, and digesting its results. */
export interface StepObservation {
  /** All but MASK rows. */
  readonly tokenRows: number;
  /** Of those: rows at which a token was drawn. */
  readonly drawnRows: number;
  readonly maskRows: number;
  /** Sum over all rows of the cached positions that they see. */
  readonly contextRows: number;
  /** Sequences that drew tokens. */
  readonly sequences: number;
  /** Tokens that they wrote. */
  readonly tokens: number;
  /** Milliseconds of the whole step. */
  readonly ms: number;
}

/** Memory of steps, in steps: of how much faster than plain decoding they are, and of what they hold. */
const SPEED_MEMORY = 40;
const SHAPE_MEMORY = 8;
/** Steps during which less and less is believed to be cheap only because it was never tried. */
const OPTIMISTIC_STEPS = 24;
/** Rows beside a sequence's own that are tried at once, beyond twice the most that were: what they cost is not known. */
const NEW_ROWS = 2;
/** Steps with MASK rows, in rounds of one form, before their price is believed. */
const MASK_TRIAL_STEPS = 24;
/** The first ones are not looked at: the adapter is read for the first time, and the code that proposes is not compiled yet. */
const UNSEEN_MASK_STEPS = 8;

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
class Audit {
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

  /** `isPlanned`: the controller chose the rounds of one of the sequences at least. */
  observe({ tokenRows, drawnRows, maskRows, sequences, tokens, ms }: StepObservation, isPlanned: boolean): void {
    if (tokenRows !== drawnRows || sequences === 0) return;
    const plainMs = this.#plainMs.get(sequences);
    if (this.#resting > 0) this.#resting--;
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

/** What is known of the machine: what steps cost, what they hold, and what time is worth. Shared by a model's sequences. */
export class Machine {
  readonly #cost: CostModel;
  readonly #audit = new Audit();
  #isPlanned = false;
  /** Per sequence and step, lately; `#time` in plain decoding's. */
  #tokens = 1;
  #time = 1;
  #sequences = 1;
  #drawnRows = 1;
  #maskRows = 0;
  /** Of the planners since the last step. */
  #surplus: number[] = [];
  #meanSurplus = 0;
  #draftedTokens = 0;
  #steps = 0;
  #maskSteps = 0;
  /** Most proposals and MASK rows of a step, per sequence. */
  #mostExtra = 0;
  #prices: Prices | undefined;

  /** `maskShare`: what share of a token row's layers a MASK row passes. */
  constructor(maskShare: number) {
    this.#cost = new CostModel(maskShare);
  }

  /** Once for every step, after its results were digested. */
  observe(step: StepObservation): void {
    const { tokenRows, drawnRows, sequences, tokens, ms } = step;
    const work: StepWork = { ...step, otherRows: tokenRows - drawnRows, draftedTokens: this.#draftedTokens };
    this.#draftedTokens = 0;
    this.#audit.observe(step, this.#isPlanned);
    this.#isPlanned = false;
    if (step.maskRows === 0 || this.#maskSteps >= UNSEEN_MASK_STEPS) this.#cost.observe(work, ms);
    if (sequences > 0) {
      this.#steps++;
      if (step.maskRows > 0) this.#maskSteps++;
      this.#mostExtra = Math.max(this.#mostExtra, (drawnRows + step.maskRows) / sequences - 1);
      // Time as predicted, so that one slow step does not make time look cheap.
      const plain = this.#plainMs(sequences, step.contextRows / Math.max(1, tokenRows + step.maskRows));
      const time = this.#cost.predict({ ...work, otherRows: 0 }) / plain;
      this.#tokens += (tokens / sequences - this.#tokens) / SPEED_MEMORY;
      this.#time += (time - this.#time) / SPEED_MEMORY;
      const follow = (before: number, now: number) => before + (now - before) / SHAPE_MEMORY;
      // A batch's size is what it is: the next one is most likely as large.
      this.#sequences = sequences;
      this.#drawnRows = follow(this.#drawnRows, drawnRows / sequences);
      this.#maskRows = follow(this.#maskRows, step.maskRows / sequences);
      const sum = this.#surplus.reduce((total, own) => total + own, 0);
      this.#meanSurplus = follow(this.#meanSurplus, sum / sequences);
    }
    this.#surplus = [];
    this.#prices = undefined;
  }

  /** Whether proposing has not paid lately: rounds are plain for a while, without asking anybody. */
  get isResting(): boolean {
    return this.#audit.isResting;
  }

  /** Whether so little is known of MASK rows that a run of rounds of one form tells more than the best round does. */
  get isNewToMasks(): boolean {
    return this.#maskSteps < MASK_TRIAL_STEPS;
  }

  /** Proposals, and MASK rows, that a sequence may have: prices of many more than there ever were are guesses. */
  get maxExtra(): number {
    return Math.floor(NEW_ROWS + 2 * this.#mostExtra);
  }

  /** For each of its sequences until the next step. */
  get prices(): Prices {
    this.#prices ??= new Prices(this.#cost, {
      tokensPerMs: (Math.max(1, this.#tokens / this.#time) * this.#sequences) / this.#plainMs(this.#sequences, 0),
      otherDrawnRows: (this.#sequences - 1) * this.#drawnRows,
      otherMaskRows: (this.#sequences - 1) * this.#maskRows,
      ownMaskRows: this.#maskRows,
      othersSurplus: (this.#sequences - 1) * this.#meanSurplus,
      optimism: Math.max(0, 1 - this.#steps / OPTIMISTIC_STEPS),
    });
    return this.#prices;
  }

  /** A planner has chosen a round of the next step. */
  addPlanned(): void {
    this.#isPlanned = true;
  }

  /** What a planner's MASK rows would be worth, were the adapter's bytes for nothing. */
  addSurplus(tokens: number): void {
    this.#surplus.push(tokens);
  }

  addDrafted(tokens: number): void {
    this.#draftedTokens += tokens;
  }

  #plainMs(sequences: number, position: number): number {
    const none = { otherRows: 0, maskRows: 0, draftedTokens: 0 };
    return this.#cost.predict({ ...none, drawnRows: sequences, contextRows: sequences * position });
  }
}
