import type { SequenceAcceptance } from "./acceptance-model.ts";
import type { Machine } from "./machine.ts";
import type { LookAhead, PlanContext, Planner, RoundShape } from "./planner.ts";
import type { Proposer } from "./proposer.ts";
import { MAX_PRICED } from "./prices.ts";
import { freeRows, type RoundPrices, TreePlanner } from "./tree-planner.ts";

/** Share of the time that goes into trying what does not seem to pay: at first, and at least. */
const EXPLORING = 0.01;
const LEAST_EXPLORING = 0.002;
/** What the share is multiplied by after each attempt. */
const BACK_OFF = 0.8;
/** Rounds after which plain decoding's time is measured again. */
const PLAIN_EVERY = 150;
/** Rounds after which what a text was like counts 1/e where nothing new is seen of it. */
const AGE = 300;

/** Rounds of one sequence as the controller's prices make them. */
export class AutoPlanner implements Planner {
  readonly #machine: Machine;
  readonly #acceptance: SequenceAcceptance;
  readonly #tree: TreePlanner;
  /** Time that may go into exploring, in plain steps. */
  #credit = 0;
  #exploring = EXPLORING;
  #sinceMasks = 0;
  #sincePlain = 0;
  #sinceDraft = 0;
  #isExploring = false;

  constructor(
    machine: Machine,
    acceptance: SequenceAcceptance,
    { stride, width }: { readonly stride: number; readonly width: number },
  ) {
    this.#machine = machine;
    this.#acceptance = acceptance;
    this.#tree = new TreePlanner({ acceptance, stride, width, prices: (context) => this.#prices(context) });
  }

  /** As deep as drafting pays: each drafted token costs a step of the draft model, and a row to verify. */
  lookAhead(proposer: Proposer, context: PlanContext): LookAhead {
    if (this.#machine.isResting) return { depth: 0, width: 0 };
    const { depth: most, width } = this.#tree.lookAhead(proposer, context);
    const { prices } = this.#machine;
    const draft = prices.draftedToken;
    const row = prices.proposals(1, context.position);
    let depth = 0;
    let gain = 0;
    let best = 0;
    let survival = 1;
    for (let i = 1; i <= most; i++) {
      survival *= this.#acceptance.ahead(proposer.kind, 0, i);
      gain += survival * (1 - this.#tree.othersAt(i, proposer.kind)) - draft - row;
      if (gain > best) {
        best = gain;
        depth = i;
      }
    }
    this.#sinceDraft = depth > 0 ? 0 : this.#sinceDraft + 1;
    if (depth === 0 && most > 0 && this.#mayExplore(draft)) depth = 1;
    this.#machine.addDrafted(depth);
    return { depth, width };
  }

  plan(context: PlanContext): RoundShape {
    if (this.#machine.isResting) return this.#tree.rest();
    this.#machine.addPlanned();
    this.#credit += this.#exploring;
    this.#acceptance.age(AGE);
    const shape = this.#tree.plan(context);
    const nMasks = shape.maskRuns.reduce((sum, length) => sum + length, 0);
    const isPlain = nMasks === 0 && shape.proposals.length === 0;
    this.#sincePlain = isPlain ? 0 : this.#sincePlain + 1;
    this.#sinceMasks = nMasks > 0 && !this.#isExploring ? 0 : this.#sinceMasks + 1;
    if (this.#sinceMasks === 0) this.#exploring = EXPLORING;
    return shape;
  }

  learn(shape: RoundShape, path: readonly number[], drawn: readonly number[]): void {
    this.#tree.learn(shape, path, drawn);
  }

  #prices(context: PlanContext): RoundPrices {
    this.#isExploring = false;
    if (this.#sincePlain >= PLAIN_EVERY) return nothing;
    if (this.#machine.isNewToMasks && context.maxRun > 0) return trial;
    const { prices, maxExtra } = this.#machine;
    const { position } = context;
    const most = Math.min(MAX_PRICED, maxExtra);
    const own: RoundPrices = {
      maxProposals: most,
      maxMaskRows: most,
      proposals: (n) => prices.proposals(n, position),
      maskRows: (n, nProposals) => prices.maskRows(n, nProposals, position),
      paysForMasks: (surplus) => {
        this.#machine.addSurplus(surplus);
        return surplus + prices.othersSurplus > prices.anyMask;
      },
      nextProposal: prices.proposals(1, position),
      leastReach: prices.leastProposal(most, position),
    };
    const couldMask = context.maxRun > 0 && this.#sinceMasks > 2;
    if (!couldMask || !this.#mayExplore(prices.anyMask + prices.maskRows(1, 0, position))) return own;
    this.#isExploring = true;
    return { ...own, maxMaskRows: 1, maskRows: () => 0, paysForMasks: () => true, nextProposal: 0 };
  }

  /** Spends credit on an attempt that costs so many tokens. */
  #mayExplore(tokens: number): boolean {
    if (this.#credit < tokens) return false;
    this.#credit -= tokens;
    this.#exploring = Math.max(LEAST_EXPLORING, this.#exploring * BACK_OFF);
    return true;
  }
}

/**
 * Rounds of one proposal with MASK rows off every anchor, whatever they cost: several in a row, since one between plain rounds
 * costs more than it does among its like.
 */
const trial: RoundPrices = { ...freeRows(1, 2), leastReach: 0 };

const nothing: RoundPrices = {
  ...{ maxProposals: 0, maxMaskRows: 0, nextProposal: 1, leastReach: 1 },
  ...{ proposals: () => 0, maskRows: () => 0, paysForMasks: () => false },
};
