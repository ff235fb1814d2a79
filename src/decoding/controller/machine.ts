import { Audit } from "./audit.ts";
import { CostModel, type StepObservation, type StepWork } from "./cost-model.ts";
import { type Bid, type Choice, chooseTogether } from "./joint-choice.ts";
import { runLengths } from "../round/mask-runs.ts";
import type { RoundShape } from "../planners/planner.ts";
import { Prices } from "./prices.ts";

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

/** Sequences of a step whose rounds have them. */
const MASK_TRIALS = 4;
/** Share of the tokens that go into trying MASK rows that do not seem to pay: at first, and at least. */
const EXPLORING = 0.01;
const LEAST_EXPLORING = 0.002;
/** What the share is multiplied by after each attempt. */
const BACK_OFF = 0.8;
/** Steps without MASK rows after which they may be tried. */
const UNTRIED_STEPS = 3;
/**
 * Steps with proposals or MASK rows after which plain decoding's time is measured again: at first, where the number of sequences
 * is another by half, and then twice as many each time, up to the most. Without it what all steps have in common is believed
 * to be plain decoding's time.
 */
const PLAIN_AFTER = 8;
const PLAIN_EVERY = 150;
/** Rows of a step that prices are compared for: beyond them none is cheap. */
const MOST_TOGETHER = 192;
/** Memory of what asking takes, in rounds. */
const ASKING_MEMORY = 32;

/** Why a round has rows that do not pay: nothing is known of MASK rows yet, or little and long ago. */
export type Attempt = "trial" | "exploring";

/** A sequence's round that is not chosen yet. */
interface Offer {
  /** Undefined: it rests. */
  readonly bid: Bid | undefined;
  /** Undefined: it is chosen for what it gains. */
  readonly attempt: Attempt | undefined;
  readonly settle: (choice: Choice) => void;
}

const nothing: Choice = { nProposals: 0, maskRows: [], proposalsPrice: 0, masksPrice: 0 };
const noBid: Bid = { candidates: [], given: { proposals: 0, maskRows: 0 }, contextRow: 0, maskRows: () => [] };

/**
 * What is known of the machine: what steps cost, what they hold, and what time is worth. Shared by a model's sequences, whose
 * rounds it chooses.
 */
export class Machine {
  readonly #cost: CostModel;
  readonly #audit = new Audit();
  readonly #now: () => number;
  /** Of the next step. */
  #offers: Offer[] = [];
  /** What was chosen since the last step. */
  #chosenRows = 0;
  #isPlanned = false;
  #hasRested = false;
  #isExploring = false;
  /** Milliseconds that proposers were asked for since the last step, and in the mean at an anchor. */
  #askedMs = 0;
  #askingMs = 0;
  /** Per sequence and step, lately; `#time` in plain decoding's. */
  #tokens = 1;
  #time = 1;
  #sequences = 1;
  /** Of a step, lately: rows that were not chosen here, proposals, MASK rows. */
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

  /** `maskShare`: what share of a token row's layers a MASK row passes. `now`: a clock in milliseconds. */
  constructor(maskShare: number, now: () => number) {
    this.#now = now;
    this.#cost = new CostModel(maskShare);
  }

  /** Once for every step, after its results were digested. */
  observe(step: StepObservation): void {
    const { tokenRows, drawnRows, maskRows, sequences, tokens, ms } = step;
    const work: StepWork = { ...step, otherRows: tokenRows - drawnRows };
    this.#audit.observe(step, { isPlanned: this.#isPlanned, hasRested: this.#hasRested });
    const askedMs = Math.min(this.#askedMs, ms / 2);
    this.#askedMs = 0;
    if (maskRows === 0 || this.#maskSteps >= UNSEEN_MASK_STEPS) this.#cost.observe(work, ms - askedMs);
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
      const time = (this.#cost.predict({ ...work, otherRows: 0 }) + askedMs) / plain;
      this.#tokens += (tokens / sequences - this.#tokens) / SPEED_MEMORY;
      this.#time += (time - this.#time) / SPEED_MEMORY;
      const follow = (before: number, now: number) => before + (now - before) / SHAPE_MEMORY;
      // A batch's size is what it is: the next one is most likely as large.
      this.#sequences = sequences;
      this.#otherRows = Math.max(0, drawnRows - this.#chosenRows);
      this.#proposals = follow(this.#proposals, proposals);
      this.#maskRows = follow(this.#maskRows, maskRows);
    }
    this.#isPlanned = false;
    this.#hasRested = false;
    this.#isExploring = false;
    this.#chosenRows = 0;
    this.#prices = undefined;
  }

  /** Whether proposing has not paid lately: rounds are plain for a while, without asking anybody. */
  get isResting(): boolean {
    return this.#audit.isResting;
  }

  /** A text begins; it may be another kind than those before. */
  addText(): void {
    this.#exploring = Math.max(this.#exploring, EXPLORING / this.#sequences);
  }

  /**
   * Whether a round is to have MASK rows of which the first costs so many tokens, whether or not they seem to pay. At first a run
   * of rounds has: one between plain rounds costs more than it does among its like.
   */
  attempt(price: number): Attempt | undefined {
    if (this.#maskSteps < MASK_TRIAL_STEPS) return this.#offers.length < MASK_TRIALS ? "trial" : undefined;
    if (this.#sinceMasks < UNTRIED_STEPS || this.#isExploring || !this.mayExplore(price)) return undefined;
    this.#isExploring = true;
    return "exploring";
  }

  /** Spends credit on an attempt that costs so many tokens. */
  mayExplore(tokens: number): boolean {
    if (this.#credit < tokens) return false;
    this.#credit -= tokens;
    this.#exploring = Math.max(LEAST_EXPLORING / this.#sequences, this.#exploring * BACK_OFF);
    return true;
  }

  /** Proposals, and MASK rows, that a sequence may have: prices of many more than there ever were are guesses. */
  get maxExtra(): number {
    return Math.floor(NEW_ROWS + 2 * this.#mostExtra);
  }

  /** Around as many sequences as the last step had. */
  get prices(): Prices {
    this.#prices ??= this.#pricesBeside(this.#sequences);
    return this.#prices;
  }

  /** The least that a proposal can cost. */
  get leastProposal(): number {
    return this.prices.leastProposal(Math.min(MOST_TOGETHER, this.maxExtra * this.#sequences));
  }

  /** Runs a planner's question to its proposers, at `nAnchors` anchors, and takes its time; at the first they read the prompt. */
  asking<T>(ask: () => T, nAnchors: () => number, { isFirst }: { readonly isFirst: boolean }): T {
    const startMs = this.#now();
    const answer = ask();
    const ms = this.#now() - startMs;
    this.#askedMs += ms;
    if (isFirst) return answer;
    const each = ms / Math.max(1, nAnchors());
    // One that took much longer had something else in it, such as a collection of garbage.
    const usual = this.#askingMs === 0 ? each : this.#askingMs;
    this.#askingMs = usual + (Math.min(each, 4 * usual) - usual) / ASKING_MEMORY;
    return answer;
  }

  /**
   * What a sequence's next round may hold. The round is chosen when it is first read, together with all others that were
   * offered until then.
   */
  offer(bid: Bid, attempt: Attempt | undefined, onChosen: (choice: Choice) => void): RoundShape {
    return this.#offer({ bid, attempt }, onChosen);
  }

  /** A plain round of a sequence that offers nothing. */
  rest(): RoundShape {
    return this.#offer({ bid: undefined, attempt: undefined }, () => {});
  }

  #offer({ bid, attempt }: Pick<Offer, "bid" | "attempt">, onChosen: (choice: Choice) => void): RoundShape {
    let shape: RoundShape | undefined;
    const settle = (choice: Choice) => {
      const proposals = bid?.candidates.slice(0, choice.nProposals) ?? [];
      shape = { proposals, maskRuns: runLengths(choice.maskRows, proposals.length + 1) };
      onChosen(choice);
    };
    this.#offers.push({ bid, attempt, settle });
    const settled = (): RoundShape => {
      if (shape === undefined) this.#settle();
      return shape as unknown as RoundShape;
    };
    return {
      get proposals() {
        return settled().proposals;
      },
      get maskRuns() {
        return settled().maskRuns;
      },
    };
  }

  #settle(): void {
    const offers = this.#offers;
    this.#offers = [];
    const isPlain = this.#sincePlain >= this.#plainAfter;
    if (isPlain || offers.every(({ bid }) => bid === undefined)) {
      for (const offer of offers) this.#choose(offer, nothing);
      return;
    }
    const nRows = offers.length + this.#otherRows;
    const prices = nRows === this.#sequences ? this.prices : this.#pricesBeside(nRows);
    const bids = offers.map(({ bid }) => bid ?? noBid);
    const choices = chooseTogether(bids, prices, MOST_TOGETHER - nRows);
    for (const [i, offer] of offers.entries()) {
      this.#isPlanned ||= offer.bid !== undefined && offer.attempt === undefined;
      this.#isExploring ||= offer.attempt === "exploring";
      this.#choose(offer, choices[i] as Choice);
    }
  }

  #choose({ bid, settle }: Offer, choice: Choice): void {
    this.#chosenRows += 1 + choice.nProposals;
    this.#hasRested ||= bid === undefined;
    settle(choice);
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
      askingMs: this.#askingMs,
      optimism: Math.max(0, 1 - this.#steps / OPTIMISTIC_STEPS),
    });
  }

  #plainMs(sequences: number, position: number): number {
    const none = { otherRows: 0, maskRows: 0, draftedTokens: 0 };
    return this.#cost.predict({ ...none, drawnRows: sequences, contextRows: sequences * position });
  }
}
