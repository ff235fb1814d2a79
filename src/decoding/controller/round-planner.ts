import { Audit } from "./audit.ts";
import { CostModel, type StepObservation, type StepWork } from "./cost-model.ts";
import { Exploration } from "./exploration.ts";
import { type Bid, type Choice, chooseTogether } from "./joint-choice.ts";
import { runLengths } from "../round/mask-runs.ts";
import type { OpenRound, RoundShape } from "../planners/planner.ts";
import { PlainSteps } from "./plain-steps.ts";
import { Prices } from "./prices.ts";
import { ProposingTime } from "./proposing-time.ts";

/** EMA windows (steps): the speed over plain decoding, and the rows of a step. */
const SPEED_WINDOW = 40;
const ROWS_WINDOW = 8;
/** Additional rows of a sequence, beyond twice the most so far, that may be tried at once: their cost is unknown. */
const NEW_ROWS = 2;
/** Most rows of a step with chosen rows: more are never cheap. */
const MOST_TOGETHER = 192;

/** A round whose rows are not chosen yet. */
class PendingRound implements OpenRound {
  shape: RoundShape | undefined;
  /** Undefined: a plain round. */
  readonly bid: Bid | undefined;
  readonly #onChosen: (choice: Choice) => void;

  constructor(bid: Bid | undefined, onChosen: (choice: Choice) => void) {
    this.bid = bid;
    this.#onChosen = onChosen;
  }

  choose(choice: Choice): void {
    const proposals = this.bid?.candidates.slice(0, choice.nProposals) ?? [];
    this.shape = { proposals, maskRuns: runLengths(choice.maskRows, proposals.length + 1) };
    this.#onChosen(choice);
  }
}

const nothing: Choice = { nProposals: 0, maskRows: [], proposalsPrice: 0, masksPrice: 0 };
const noBid: Bid = { candidates: [], nGivenMasks: 0, contextRow: 0, maskRows: () => [] };

/**
 * Chooses the rounds of all sequences of a model jointly, from the predicted time of steps and the value of time in tokens.
 */
export class RoundPlanner {
  readonly exploration = new Exploration();
  readonly proposingTime = new ProposingTime();
  readonly #cost: CostModel;
  readonly #audit = new Audit();
  readonly #plainSteps = new PlainSteps();
  /** Rounds of the next step. */
  #pending: PendingRound[] = [];
  /** Since the last step: chosen rows, whether rounds were planned, whether planners skipped proposing. */
  #chosenRows = 0;
  #isPlanned = false;
  #hasSkipped = false;
  /** Recent tokens and time per sequence and step; `#time` in plain steps. */
  #tokens = 1;
  #time = 1;
  /** Recent rows of a step: sequences, rows of fixed rounds, proposals, MASK rows. */
  #sequences = 1;
  #otherRows = 0;
  #proposals = 0;
  #maskRows = 0;
  /** Most proposals and MASK rows per sequence of any step so far. */
  #mostExtra = 0;
  #hasDecoded = false;
  #prices: Prices | undefined;

  /** `maskShare`: share of the layers that a MASK row passes through. */
  constructor(maskShare: number) {
    this.#cost = new CostModel(maskShare);
  }

  /** Once for every step, after its results were applied. */
  observe(step: StepObservation): void {
    const { tokenRows, drawnRows, maskRows, sequences, ms } = step;
    const work: StepWork = { ...step, otherRows: tokenRows - drawnRows };
    this.#audit.observe(step, { isPlanned: this.#isPlanned, hasSkipped: this.#hasSkipped });
    const proposingMs = this.proposingTime.endStep(ms);
    // The first prompt reads weights that are not in memory yet, with code that is not compiled: its time is no unit.
    const isTypical = (this.#hasDecoded || work.otherRows === 0) && this.exploration.isTypical(maskRows);
    if (isTypical) this.#cost.observe(work, ms - proposingMs);
    this.exploration.observe(maskRows, sequences);
    if (sequences > 0) this.#follow(step, work, proposingMs);
    this.#isPlanned = false;
    this.#hasSkipped = false;
    this.#chosenRows = 0;
    this.#prices = undefined;
  }

  /** Whether all rounds are plain for now, because proposing has not paid recently. */
  get isPaused(): boolean {
    return this.#audit.isPaused;
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

  /** Submits the rows that a sequence's next round may have. */
  bid(bid: Bid, onChosen: (choice: Choice) => void): OpenRound {
    return this.#add(bid, onChosen);
  }

  /** Submits a plain round. */
  bidNothing(): OpenRound {
    return this.#add(undefined, () => {});
  }

  /** Chooses the rounds of all bids since the last call, jointly. */
  choose(): void {
    const rounds = this.#pending;
    this.#pending = [];
    if (this.#plainSteps.isDue || rounds.every(({ bid }) => bid === undefined)) {
      for (const round of rounds) this.#choose(round, nothing);
      return;
    }
    const nRows = rounds.length + this.#otherRows;
    const prices = nRows === this.#sequences ? this.prices : this.#pricesBeside(nRows);
    const bids = rounds.map(({ bid }) => bid ?? noBid);
    const choices = chooseTogether(bids, prices, MOST_TOGETHER - nRows);
    for (const [i, round] of rounds.entries()) {
      this.#isPlanned ||= round.bid?.nGivenMasks === 0;
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

  /** Follows the speed and the rows of steps. */
  #follow(
    { tokenRows, drawnRows, maskRows, sequences, contextRows, tokens }: StepObservation,
    work: StepWork,
    proposingMs: number,
  ): void {
    const proposals = drawnRows - sequences;
    this.#hasDecoded = true;
    this.#plainSteps.observe(sequences, proposals + maskRows === 0);
    this.#mostExtra = Math.max(this.#mostExtra, (proposals + maskRows) / sequences);
    // The predicted time, so that one slow step does not make time look cheap.
    const plain = this.#plainMs(sequences, contextRows / Math.max(1, tokenRows + maskRows));
    const time = (this.#cost.predict({ ...work, otherRows: 0 }) + proposingMs) / plain;
    this.#tokens += (tokens / sequences - this.#tokens) / SPEED_WINDOW;
    this.#time += (time - this.#time) / SPEED_WINDOW;
    // The next batch most likely has the same size.
    this.#sequences = sequences;
    this.#otherRows = Math.max(0, drawnRows - this.#chosenRows);
    this.#proposals += (proposals - this.#proposals) / ROWS_WINDOW;
    this.#maskRows += (maskRows - this.#maskRows) / ROWS_WINDOW;
  }

  #pricesBeside(nRows: number): Prices {
    return new Prices(this.#cost, {
      tokensPerMs: (Math.max(1, this.#tokens / this.#time) * this.#sequences) / this.#plainMs(this.#sequences, 0),
      rows: nRows,
      maskRows: this.#maskRows,
      proposals: this.#proposals,
      anchorMs: this.proposingTime.anchorMs,
    });
  }

  #plainMs(sequences: number, position: number): number {
    const none = { otherRows: 0, maskRows: 0, draftedTokens: 0 };
    return this.#cost.predict({ ...none, drawnRows: sequences, contextRows: sequences * position });
  }
}
