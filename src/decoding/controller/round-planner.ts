import { runLengths } from "../round/mask-runs.ts";
import type { OpenRound, RoundShape } from "../planners/planner.ts";
import { CostModel, type StepObservation } from "./cost-model.ts";
import { type Bid, type Choice, chooseTogether } from "./joint-choice.ts";
import { PlainCheck } from "./plain-check.ts";

/** EMA window of the speed over plain decoding (steps). */
const SPEED_WINDOW = 40;
/** Most proposals of a sequence, and most MASK rows. */
export const MAX_ROWS = 16;
/** Most rows of a step with chosen rows: more are never cheap. */
const MAX_STEP_ROWS = 192;
/**
 * Share of the tokens that may be spent on MASK rows and drafts that do not seem to pay, since their acceptance and cost may
 * have changed; and what may be spent at once, as at the start, when they are not known. A single attempt would tell little:
 * its weights are not in the CPU's caches.
 */
const EXPLORING = 0.01;
const MAX_CREDIT = 4;

const nothing: Choice = { nProposals: 0, maskRows: [] };
const noBid: Bid = { candidates: [], nGivenMasks: 0, contextRow: 0, maskRows: () => [] };

/** A round whose rows are not chosen yet. */
class PendingRound implements OpenRound {
  shape: RoundShape | undefined;
  /** Undefined: a plain round. */
  readonly bid: Bid | undefined;

  constructor(bid: Bid | undefined) {
    this.bid = bid;
  }

  choose({ nProposals, maskRows }: Choice): void {
    const proposals = this.bid?.candidates.slice(0, nProposals) ?? [];
    this.shape = { proposals, maskRuns: runLengths(maskRows, nProposals + 1) };
  }
}

/**
 * Chooses the rounds of all sequences of a model jointly. Prices are milliseconds, as the cost model predicts them, in tokens
 * that are generated in that time.
 */
export class RoundPlanner {
  readonly #cost: CostModel;
  readonly #check = new PlainCheck();
  /** Rounds of the next step, its chosen rows and whether planners proposed. */
  #pending: PendingRound[] = [];
  #chosenRows = 0;
  #isPlanned = false;
  /** Of the last step: sequences, rows of fixed rounds, MASK rows, and whether some of these were chosen for their value. */
  #sequences = 1;
  #otherRows = 0;
  #maskRows = 0;
  #hasMasks = false;
  /** Recent tokens per time, relative to plain decoding. */
  #speed = 1;
  #credit = MAX_CREDIT;
  #isExploring = true;
  /** Tokens in a millisecond and the least price of a proposal, until the next step is observed. */
  #tokensPerMs: number | undefined;
  #minProposalPrice: number | undefined;

  /** `maskShare`: share of the layers that a MASK row passes through. */
  constructor(maskShare: number) {
    this.#cost = new CostModel(maskShare);
  }

  /** Once for every step, after its results were applied. */
  observe(step: StepObservation): void {
    const { tokenRows, drawnRows, maskRows, sequences, tokens, ms } = step;
    this.#cost.observe({ ...step, otherRows: tokenRows - drawnRows }, ms);
    this.#check.observe(step, this.#isPlanned);
    if (sequences > 0) {
      // The predicted time, so that one slow step does not make time look cheap.
      const contextRow = step.contextRows / Math.max(1, tokenRows + maskRows);
      const plainMs = this.#plainMs(sequences, contextRow);
      const time = this.#cost.predict({ ...step, otherRows: 0 }) / plainMs;
      this.#speed += (tokens / sequences / time - this.#speed) / SPEED_WINDOW;
      this.#sequences = sequences;
      this.#otherRows = Math.max(0, drawnRows - this.#chosenRows);
      this.#maskRows = maskRows;
      this.#credit = Math.min(MAX_CREDIT, this.#credit + EXPLORING * sequences);
    }
    this.#chosenRows = 0;
    this.#isPlanned = false;
    this.#tokensPerMs = undefined;
    this.#minProposalPrice = undefined;
  }

  /** Whether the next step is plain: to measure plain decoding, or because proposing has not paid recently. */
  get isPlain(): boolean {
    return this.#check.isPlainDue(this.#sequences);
  }

  /** Price of these rows in a step with the sequences of the last one, without their context. */
  price(nProposals: number, nMasks: number): number {
    const drawn = this.#sequences + this.#otherRows;
    const ms = this.#cost.rowsMs(drawn + nProposals, nMasks) - this.#cost.rowsMs(drawn, 0);
    return this.#rate * (Math.max(0, ms) + (nMasks > 0 ? this.#cost.anyMaskMs : 0));
  }

  /** Least price of a proposal beside the usual rows, however many there are. */
  get minProposalPrice(): number {
    if (this.#minProposalPrice === undefined) {
      const before = this.price(0, this.#maskRows);
      let min = Number.POSITIVE_INFINITY;
      for (let n = 1; n <= MAX_ROWS * this.#sequences; n *= 2) {
        min = Math.min(min, (this.price(n, this.#maskRows) - before) / n);
      }
      this.#minProposalPrice = min;
    }
    return this.#minProposalPrice;
  }

  /** Price of a row's context in a sequence of `position` tokens. */
  contextRow(position: number): number {
    return position * this.#rate * this.#cost.contextRowMs;
  }

  get draftedToken(): number {
    return this.#rate * this.#cost.draftedTokenMs;
  }

  /** Whether a round gets a MASK row although it does not seem to pay; not if others are chosen for their value. */
  exploresMasks(contextRow: number): boolean {
    return !this.#hasMasks && this.explores(this.price(0, 1) + contextRow);
  }

  /** Whether rows of this price are added although they do not seem to pay. */
  explores(price: number): boolean {
    // Until the credit is used up, then not before there is enough for several attempts.
    if (!this.#isExploring) this.#isExploring = this.#credit >= MAX_CREDIT * Math.min(1, price);
    if (this.#credit < price) this.#isExploring = false;
    if (this.#isExploring) this.#credit -= price;
    return this.#isExploring;
  }

  /** Submits the rows that a sequence's next round may have; undefined: a plain round. */
  bid(bid: Bid | undefined): OpenRound {
    const round = new PendingRound(bid);
    this.#pending.push(round);
    return round;
  }

  /** Chooses the rounds of all bids since the last call, jointly. */
  choose(): void {
    const rounds = this.#pending;
    this.#pending = [];
    const isPlanned = rounds.some(({ bid }) => bid !== undefined);
    const bids = rounds.map(({ bid }) => bid ?? noBid);
    const most = MAX_STEP_ROWS - rounds.length - this.#otherRows;
    const choices = isPlanned ? chooseTogether(bids, (n, m) => this.price(n, m), most, this.#maskRows) : [];
    this.#isPlanned ||= isPlanned;
    this.#hasMasks = choices.some(({ maskRows }, i) => maskRows.length > (bids[i]?.nGivenMasks ?? 0));
    for (const [i, round] of rounds.entries()) {
      const choice = choices[i] ?? nothing;
      this.#chosenRows += 1 + choice.nProposals;
      round.choose(choice);
    }
  }

  get #rate(): number {
    this.#tokensPerMs ??= (Math.max(1, this.#speed) * this.#sequences) / this.#plainMs(this.#sequences, 0);
    return this.#tokensPerMs;
  }

  #plainMs(sequences: number, position: number): number {
    const none = { otherRows: 0, maskRows: 0, draftedTokens: 0 };
    return this.#cost.predict({ ...none, drawnRows: sequences, contextRows: sequences * position });
  }
}
