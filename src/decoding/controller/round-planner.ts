import { Audit } from "./audit.ts";
import { CostModel, type StepObservation, type StepWork } from "./cost-model.ts";
import { type Bid, type Choice, chooseTogether } from "./joint-choice.ts";
import { runLengths } from "../round/mask-runs.ts";
import type { RoundShape } from "../planners/planner.ts";
import { Prices } from "./prices.ts";

/** EMA windows (steps): of the speed over plain decoding, and of the rows of a step. */
const SPEED_WINDOW = 40;
const SHAPE_WINDOW = 8;
/** Steps during which prices are taken below their estimate, less and less, so that what was never tried is tried. */
const OPTIMISTIC_STEPS = 24;
/** Rows beside a sequence's own that are tried at once, beyond twice the most so far: their cost is unknown. */
const NEW_ROWS = 2;
/** Steps with MASK rows, in rounds of one shape, before their estimated price is used. */
const MASK_TRIAL_STEPS = 24;
/** Of these the first are not measured: the adapter is read for the first time, and the code that proposes is not compiled yet. */
const WARM_UP_MASK_STEPS = 8;

/** Sequences of a step whose rounds have MASK rows on trial. */
const MASK_TRIALS = 4;
/** Share of the tokens spent on exploring MASK rows that do not seem to pay: at first, and at least. */
const EXPLORING = 0.01;
const LEAST_EXPLORING = 0.002;
/** Factor of that share after each attempt. */
const BACK_OFF = 0.8;
/** Steps without MASK rows before they are explored. */
const UNTRIED_STEPS = 3;
/**
 * Steps with proposals or MASK rows after which plain decoding is measured again: at first and where the number of sequences
 * changed by half, then twice as many each time, up to the most. Without it what all steps have in common would be taken for
 * plain decoding's time.
 */
const PLAIN_AFTER = 8;
const PLAIN_EVERY = 150;
/** Rows of a step up to which prices are compared: beyond them none is cheap. */
const MOST_TOGETHER = 192;
/** EMA window of the time that proposing takes at an anchor (steps). */
const PROPOSING_WINDOW = 32;

/** Why a round has rows that do not pay: nothing is known of MASK rows yet, or what is known is old. */
export type Attempt = "trial" | "exploring";

/** A sequence's round that is not chosen yet. */
interface PendingRound {
  /** Undefined: a plain round. */
  readonly bid: Bid | undefined;
  /** Undefined: it is chosen for its gain. */
  readonly attempt: Attempt | undefined;
  readonly onChosen: (choice: Choice) => void;
}

const nothing: Choice = { nProposals: 0, maskRows: [], proposalsPrice: 0, masksPrice: 0 };
const noBid: Bid = { candidates: [], given: { proposals: 0, maskRows: 0 }, contextRow: 0, maskRows: () => [] };

/**
 * Chooses the rounds of all sequences of a model together, from what steps cost, what they hold and what time is worth.
 */
export class RoundPlanner {
  readonly #cost: CostModel;
  readonly #audit = new Audit();
  /** Of the next step. */
  #pending: PendingRound[] = [];
  /** Since the last step: rows that were chosen, whether rounds were, whether planners skipped proposing, whether one explores. */
  #chosenRows = 0;
  #isPlanned = false;
  #hasSkipped = false;
  #isExploring = false;
  /** Proposing since the last step: milliseconds, anchors, and whether a sequence did it for the first time. */
  #proposingMs = 0;
  #nAnchors = 0;
  #hasFirst = false;
  /** Milliseconds of proposing at an anchor, in the mean. */
  #anchorMs = 0;
  /** Recent tokens and time per sequence and step; `#time` in plain steps. */
  #tokens = 1;
  #time = 1;
  #sequences = 1;
  /** Recent rows of a step: those not chosen here, proposals, MASK rows. */
  #otherRows = 0;
  #proposals = 0;
  #maskRows = 0;
  #steps = 0;
  #maskSteps = 0;
  /** Tokens that may go into exploring, and share of the tokens that come to it. */
  #credit = 0;
  #exploring = EXPLORING;
  #sinceMasks = 0;
  #sincePlain = 0;
  #plainAfter = PLAIN_AFTER;
  #plainSequences = 1;
  /** Most proposals and MASK rows of a step, per sequence. */
  #mostExtra = 0;
  #prices: Prices | undefined;

  /** `maskShare`: the share of a token row's layers that a MASK row passes. */
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
    if (maskRows === 0 || this.#maskSteps >= WARM_UP_MASK_STEPS) this.#cost.observe(work, ms - proposingMs);
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
      // Time as predicted, so that one slow step does not make time look cheap.
      const plain = this.#plainMs(sequences, step.contextRows / Math.max(1, tokenRows + maskRows));
      const time = (this.#cost.predict({ ...work, otherRows: 0 }) + proposingMs) / plain;
      this.#tokens += (tokens / sequences - this.#tokens) / SPEED_WINDOW;
      this.#time += (time - this.#time) / SPEED_WINDOW;
      const follow = (before: number, now: number) => before + (now - before) / SHAPE_WINDOW;
      // The next batch is most likely as large.
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

  /** Whether rounds are plain for a while, since proposing has not paid recently. */
  get isPaused(): boolean {
    return this.#audit.isPaused;
  }

  /** A sequence begins; it may be of another kind than those before. */
  addSequence(): void {
    this.#exploring = Math.max(this.#exploring, EXPLORING / this.#sequences);
  }

  /**
   * Whether a round is to have MASK rows, the first of which costs `price` tokens, whether or not they seem to pay. At first
   * several rounds in a row have them: one between plain rounds costs more than one among its like.
   */
  attempt(price: number): Attempt | undefined {
    if (this.#maskSteps < MASK_TRIAL_STEPS) return this.#pending.length < MASK_TRIALS ? "trial" : undefined;
    if (this.#sinceMasks < UNTRIED_STEPS || this.#isExploring || !this.spendCredit(price)) return undefined;
    this.#isExploring = true;
    return "exploring";
  }

  /** Spends credit on an attempt that costs so many tokens, where there is enough. */
  spendCredit(tokens: number): boolean {
    if (this.#credit < tokens) return false;
    this.#credit -= tokens;
    this.#exploring = Math.max(LEAST_EXPLORING / this.#sequences, this.#exploring * BACK_OFF);
    return true;
  }

  /** Most proposals, and MASK rows, of a sequence: prices of many more than there were so far are guesses. */
  get maxExtra(): number {
    return Math.floor(NEW_ROWS + 2 * this.#mostExtra);
  }

  /** Around as many sequences as the last step had. */
  get prices(): Prices {
    this.#prices ??= this.#pricesBeside(this.#sequences);
    return this.#prices;
  }

  /** Lowest price of a proposal. */
  get leastProposal(): number {
    return this.prices.leastProposal(Math.min(MOST_TOGETHER, this.maxExtra * this.#sequences));
  }

  /** A planner's proposers were asked at so many anchors; the first time they read the prompt, which is no cost of an anchor. */
  countAnchors(n: number, { isFirst }: { readonly isFirst: boolean }): void {
    this.#nAnchors += n;
    this.#hasFirst ||= isFirst;
  }

  /** What it took to propose for sequences together, at the anchors counted since it was last called. */
  observeProposing(ms: number): void {
    this.#proposingMs += ms;
    const [nAnchors, hasFirst] = [this.#nAnchors, this.#hasFirst];
    this.#nAnchors = 0;
    this.#hasFirst = false;
    if (hasFirst || nAnchors === 0) return;
    const each = ms / nAnchors;
    // A much longer one had something else in it, such as a garbage collection.
    const usual = this.#anchorMs === 0 ? each : this.#anchorMs;
    this.#anchorMs = usual + (Math.min(each, 4 * usual) - usual) / PROPOSING_WINDOW;
  }

  /**
   * What a sequence's next round may hold. The round is chosen when it is first read, together with all others that were
   * bid for until then.
   */
  bid(bid: Bid, attempt: Attempt | undefined, onChosen: (choice: Choice) => void): RoundShape {
    return this.#add(bid, attempt, onChosen);
  }

  /** A plain round. */
  bidNothing(): RoundShape {
    return this.#add(undefined, undefined, () => {});
  }

  #add(bid: Bid | undefined, attempt: Attempt | undefined, onChosen: (choice: Choice) => void): RoundShape {
    let shape: RoundShape | undefined;
    const pending: PendingRound = {
      bid,
      attempt,
      onChosen: (choice) => {
        const proposals = bid?.candidates.slice(0, choice.nProposals) ?? [];
        shape = { proposals, maskRuns: runLengths(choice.maskRows, proposals.length + 1) };
        onChosen(choice);
      },
    };
    this.#pending.push(pending);
    const chosen = (): RoundShape => {
      if (shape === undefined) this.#chooseAll();
      return shape as unknown as RoundShape;
    };
    return {
      get proposals() {
        return chosen().proposals;
      },
      get maskRuns() {
        return chosen().maskRuns;
      },
    };
  }

  #chooseAll(): void {
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

  #choose({ bid, onChosen }: PendingRound, choice: Choice): void {
    this.#chosenRows += 1 + choice.nProposals;
    this.#hasSkipped ||= bid === undefined;
    onChosen(choice);
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
