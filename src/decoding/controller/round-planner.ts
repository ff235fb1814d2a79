import { Audit } from "./audit.ts";
import { CostModel, type StepObservation, type StepWork } from "./cost-model.ts";
import { type Bid, type Choice, chooseTogether } from "./joint-choice.ts";
import { runLengths } from "../round/mask-runs.ts";
import type { OpenRound, RoundShape } from "../planners/planner.ts";
import { Prices } from "./prices.ts";

/** EMA windows (steps): speed over plain decoding, and rows of a step. */
const SPEED_WINDOW = 40;
const SHAPE_WINDOW = 8;
/** Steps during which prices are lowered by their uncertainty, by less and less, so that untried rows are tried. */
const OPTIMISTIC_STEPS = 24;
/** Additional rows of a sequence, beyond twice the most so far, that may be tried at once: their cost is unknown. */
const NEW_ROWS = 2;
/** Steps with MASK rows, in rounds of one shape, before their estimated price is used. */
const MASK_TRIAL_STEPS = 24;
/** The first of these are not measured: the adapter is read for the first time, and the code that proposes is not compiled yet. */
const WARM_UP_MASK_STEPS = 8;

/** Most sequences of a step with MASK rows on trial. */
const MASK_TRIALS = 4;
/** Share of the tokens spent on exploring MASK rows that do not seem to pay: initial value and minimum. */
const EXPLORING = 0.01;
const LEAST_EXPLORING = 0.002;
/** Factor of that share after each attempt. */
const BACK_OFF = 0.8;
/** Steps without MASK rows before they are explored. */
const UNTRIED_STEPS = 3;
/**
 * Steps with proposals or MASK rows after which plain decoding is measured again: the initial value, also used after the number
 * of sequences changed by half, is doubled each time, up to the maximum. Without plain steps, costs that all rounds share would be
 * attributed to plain decoding.
 */
const PLAIN_AFTER = 8;
const PLAIN_EVERY = 150;
/** Most rows of a step with chosen rows: more are never cheap. */
const MOST_TOGETHER = 192;
/** EMA window of the time of proposing at an anchor (steps). */
const PROPOSING_WINDOW = 32;

/** Why a round has MASK rows that do not seem to pay: they were not measured yet (trial), or not recently (exploring). */
export type Attempt = "trial" | "exploring";

/** A round whose rows are not chosen yet. */
class PendingRound implements OpenRound {
  shape: RoundShape | undefined;
  /** Undefined: a plain round. */
  readonly bid: Bid | undefined;
  /** Undefined: rows are chosen by their value. */
  readonly attempt: Attempt | undefined;
  readonly #onChosen: (choice: Choice) => void;

  constructor(bid: Bid | undefined, attempt: Attempt | undefined, onChosen: (choice: Choice) => void) {
    this.bid = bid;
    this.attempt = attempt;
    this.#onChosen = onChosen;
  }

  choose(choice: Choice): void {
    const proposals = this.bid?.candidates.slice(0, choice.nProposals) ?? [];
    this.shape = { proposals, maskRuns: runLengths(choice.maskRows, proposals.length + 1) };
    this.#onChosen(choice);
  }
}

const nothing: Choice = { nProposals: 0, maskRows: [], proposalsPrice: 0, masksPrice: 0 };
const noBid: Bid = { candidates: [], given: { proposals: 0, maskRows: 0 }, contextRow: 0, maskRows: () => [] };

/**
 * Chooses the rounds of all sequences of a model jointly, from the predicted time of steps and the value of time in tokens.
 */
export class RoundPlanner {
  readonly #cost: CostModel;
  readonly #audit = new Audit();
  /** Rounds of the next step. */
  #pending: PendingRound[] = [];
  /** Since the last step: chosen rows, whether rounds were planned, whether planners skipped proposing, whether one explores. */
  #chosenRows = 0;
  #isPlanned = false;
  #hasSkipped = false;
  #isExploring = false;
  /** Proposing since the last step: milliseconds, anchors, and whether a sequence proposed for the first time. */
  #proposingMs = 0;
  #nAnchors = 0;
  #hasFirst = false;
  /** Mean milliseconds of proposing at an anchor. */
  #anchorMs = 0;
  /** Recent tokens and time per sequence and step; `#time` in plain steps. */
  #tokens = 1;
  #time = 1;
  #sequences = 1;
  /** Recent rows of a step: rows of fixed rounds, proposals, MASK rows. */
  #otherRows = 0;
  #proposals = 0;
  #maskRows = 0;
  #steps = 0;
  #maskSteps = 0;
  /** Tokens available for exploring, and the share of tokens added to them. */
  #credit = 0;
  #exploring = EXPLORING;
  #sinceMasks = 0;
  #sincePlain = 0;
  #plainAfter = PLAIN_AFTER;
  #plainSequences = 1;
  /** Most proposals and MASK rows per sequence of any step so far. */
  #mostExtra = 0;
  #prices: Prices | undefined;

  /** `maskShare`: share of the layers that a MASK row passes through. */
  constructor(maskShare: number) {
    this.#cost = new CostModel(maskShare);
  }

  /** Once for every step, after its results were applied. */
  observe(step: StepObservation): void {
    const { tokenRows, drawnRows, maskRows, sequences, tokens, ms } = step;
    const work: StepWork = { ...step, otherRows: tokenRows - drawnRows };
    this.#audit.observe(step, { isPlanned: this.#isPlanned, hasSkipped: this.#hasSkipped });
    const proposingMs = Math.min(this.#proposingMs, ms / 2);
    this.#proposingMs = 0;
    // The first prompt reads weights that are not in memory yet, with code that is not compiled: its time is no unit.
    const isWarm = this.#steps > 0 || work.otherRows === 0;
    if (isWarm && (maskRows === 0 || this.#maskSteps >= WARM_UP_MASK_STEPS)) this.#cost.observe(work, ms - proposingMs);
    if (sequences > 0) {
      this.#steps++;
      if (maskRows > 0) this.#maskSteps++;
      const proposals = drawnRows - sequences;
      if (proposals + maskRows > 0) this.#sincePlain++;
      else this.#sawPlain(sequences);
      this.#credit += this.#exploring * sequences;
      this.#sinceMasks = maskRows > 0 && !this.#isExploring ? 0 : this.#sinceMasks + 1;
      if (this.#sinceMasks === 0) this.#exploring = EXPLORING;
      this.#mostExtra = Math.max(this.#mostExtra, (proposals + maskRows) / sequences);
      // The predicted time, so that one slow step does not make time look cheap.
      const plain = this.#plainMs(sequences, step.contextRows / Math.max(1, tokenRows + maskRows));
      const time = (this.#cost.predict({ ...work, otherRows: 0 }) + proposingMs) / plain;
      this.#tokens += (tokens / sequences - this.#tokens) / SPEED_WINDOW;
      this.#time += (time - this.#time) / SPEED_WINDOW;
      const follow = (before: number, now: number) => before + (now - before) / SHAPE_WINDOW;
      // The next batch most likely has the same size.
      this.#sequences = sequences;
      this.#otherRows = Math.max(0, drawnRows - this.#chosenRows);
      this.#proposals = follow(this.#proposals, proposals);
      this.#maskRows = follow(this.#maskRows, maskRows);
    }
    this.#isPlanned = false;
    this.#hasSkipped = false;
    this.#isExploring = false;
    this.#chosenRows = 0;
    this.#prices = undefined;
  }

  /** Whether all rounds are plain for now, because proposing has not paid recently. */
  get isPaused(): boolean {
    return this.#audit.isPaused;
  }

  /** Called when a sequence starts: its acceptance may differ from earlier ones, so exploring starts again. */
  addSequence(): void {
    this.#exploring = Math.max(this.#exploring, EXPLORING / this.#sequences);
  }

  /**
   * Whether a round gets MASK rows although they may not pay; the first one costs `price` tokens. Trials come in consecutive
   * steps, because a single round with MASK rows between plain rounds takes longer.
   */
  attempt(price: number): Attempt | undefined {
    if (this.#maskSteps < MASK_TRIAL_STEPS) return this.#pending.length < MASK_TRIALS ? "trial" : undefined;
    if (this.#sinceMasks < UNTRIED_STEPS || this.#isExploring || !this.spendCredit(price)) return undefined;
    this.#isExploring = true;
    return "exploring";
  }

  /** Spends credit on an attempt of this price; false if there is not enough. */
  spendCredit(tokens: number): boolean {
    if (this.#credit < tokens) return false;
    this.#credit -= tokens;
    this.#exploring = Math.max(LEAST_EXPLORING / this.#sequences, this.#exploring * BACK_OFF);
    return true;
  }

  /** Most proposals, and most MASK rows, of a sequence: prices far beyond the rows measured so far are guesses. */
  get maxExtra(): number {
    return Math.floor(NEW_ROWS + 2 * this.#mostExtra);
  }

  /** Prices for a step with the number of sequences of the last one. */
  get prices(): Prices {
    this.#prices ??= this.#pricesBeside(this.#sequences);
    return this.#prices;
  }

  /** Lowest price of a proposal. */
  get leastProposal(): number {
    return this.prices.leastProposal(Math.min(MOST_TOGETHER, this.maxExtra * this.#sequences));
  }

  /** Counts anchors at which a planner proposed. `isFirst`: its proposers also read the prompt, which is not a cost of anchors. */
  countAnchors(n: number, { isFirst }: { readonly isFirst: boolean }): void {
    this.#nAnchors += n;
    this.#hasFirst ||= isFirst;
  }

  /** Records the time of proposing at the anchors counted since the last call. */
  observeProposing(ms: number): void {
    this.#proposingMs += ms;
    const [nAnchors, hasFirst] = [this.#nAnchors, this.#hasFirst];
    this.#nAnchors = 0;
    this.#hasFirst = false;
    if (hasFirst || nAnchors === 0) return;
    const each = ms / nAnchors;
    // A much longer time includes something else, such as garbage collection.
    const usual = this.#anchorMs === 0 ? each : this.#anchorMs;
    this.#anchorMs = usual + (Math.min(each, 4 * usual) - usual) / PROPOSING_WINDOW;
  }

  /** Submits the rows that a sequence's next round may have. */
  bid(bid: Bid, attempt: Attempt | undefined, onChosen: (choice: Choice) => void): OpenRound {
    return this.#add(bid, attempt, onChosen);
  }

  /** Submits a plain round. */
  bidNothing(): OpenRound {
    return this.#add(undefined, undefined, () => {});
  }

  /** Chooses the rounds of all bids since the last call, jointly. */
  choose(): void {
    const rounds = this.#pending;
    this.#pending = [];
    const isPlain = this.#sincePlain >= this.#plainAfter;
    if (isPlain || rounds.every(({ bid }) => bid === undefined)) {
      for (const round of rounds) this.#choose(round, nothing);
      return;
    }
    const nRows = rounds.length + this.#otherRows;
    const prices = nRows === this.#sequences ? this.prices : this.#pricesBeside(nRows);
    const bids = rounds.map(({ bid }) => bid ?? noBid);
    const choices = chooseTogether(bids, prices, MOST_TOGETHER - nRows);
    for (const [i, round] of rounds.entries()) {
      this.#isPlanned ||= round.bid !== undefined && round.attempt === undefined;
      this.#isExploring ||= round.attempt === "exploring";
      this.#choose(round, choices[i] as Choice);
    }
  }

  #add(...round: ConstructorParameters<typeof PendingRound>): OpenRound {
    const pending = new PendingRound(...round);
    this.#pending.push(pending);
    return pending;
  }

  #choose(round: PendingRound, choice: Choice): void {
    this.#chosenRows += 1 + choice.nProposals;
    this.#hasSkipped ||= round.bid === undefined;
    round.choose(choice);
  }

  #sawPlain(sequences: number): void {
    const isOther = Math.abs(sequences - this.#plainSequences) > this.#plainSequences / 2;
    this.#plainSequences = sequences;
    if (isOther) this.#plainAfter = PLAIN_AFTER;
    else if (this.#sincePlain >= this.#plainAfter) this.#plainAfter = Math.min(PLAIN_EVERY, 2 * this.#plainAfter);
    this.#sincePlain = 0;
  }

  #pricesBeside(nRows: number): Prices {
    return new Prices(this.#cost, {
      tokensPerMs: (Math.max(1, this.#tokens / this.#time) * this.#sequences) / this.#plainMs(this.#sequences, 0),
      rows: nRows,
      maskRows: this.#maskRows,
      proposals: this.#proposals,
      anchorMs: this.#anchorMs,
      optimism: Math.max(0, 1 - this.#steps / OPTIMISTIC_STEPS),
    });
  }

  #plainMs(sequences: number, position: number): number {
    const none = { otherRows: 0, maskRows: 0, draftedTokens: 0 };
    return this.#cost.predict({ ...none, drawnRows: sequences, contextRows: sequences * position });
  }
}
