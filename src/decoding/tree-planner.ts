import type { SequenceAcceptance } from "./acceptance-model.ts";
import { bestPrefix } from "./best-prefix.ts";
import { type Candidate, type CandidateTree, growTree } from "./candidate-tree.ts";
import { chooseRuns } from "./mask-runs.ts";
import type { LookAhead, PlanContext, Planner, RoundShape } from "./planner.ts";
import type { Proposer, ProposerKind } from "./proposer.ts";
import { PENDING } from "./round.ts";

/** What a round may hold, and what its rows cost, in tokens: what the machine would write in the time that they take. */
export interface RoundPrices {
  readonly maxProposals: number;
  readonly maxMaskRows: number;
  /** Of n proposals. */
  proposals(n: number): number;
  /** Of n MASK rows beside `nProposals` proposals, without what the first one of a forward costs more. */
  maskRows(n: number, nProposals: number): number;
  /** Whether MASK rows that are worth so many tokens beyond that price pay for what the first one costs more. */
  paysForMasks(surplus: number): boolean;
  /** Of one proposal in the next round, which a MASK row of this one makes possible. */
  readonly nextProposal: number;
  /** Least that a proposal can cost: what is less likely is not looked at. */
  readonly leastReach: number;
}

export interface TreePlannerOptions {
  readonly acceptance: SequenceAcceptance;
  /** Tokens that a round yields at best. */
  readonly stride: number;
  /** Alternatives of a proposer at each anchor. */
  readonly width: number;
  readonly prices: (context: PlanContext) => RoundPrices;
}

/** Memory of what other proposers offer, in rounds. */
const OTHERS_MEMORY = 8;

/**
 * Rounds of trees for exact verification. Proposals: the nodes of largest reach, as many as are worth their price. MASK runs:
 * off the anchors at which verification is likely to end, as long as proposals made from them are likely to stand.
 */
export class TreePlanner implements Planner {
  readonly #options: TreePlannerOptions;
  #tree: CandidateTree = { candidates: [], offers: [] };
  /** For each proposer by depth: how likely the tokens up to it stand without it, lately. */
  readonly #others = new Map<ProposerKind, number[]>();

  constructor(options: TreePlannerOptions) {
    this.#options = options;
  }

  lookAhead(_proposer: Proposer, { remaining, maxRows }: PlanContext): LookAhead {
    const { stride, width } = this.#options;
    return { depth: Math.min(stride, remaining, maxRows) - 1, width };
  }

  plan(context: PlanContext): RoundShape {
    const { stride, width, acceptance, prices } = this.#options;
    const { proposers, remaining, maxRows } = context;
    const price = prices(context);
    const most = Math.min(price.maxProposals, maxRows - 1);
    this.#tree = growTree(proposers, acceptance, {
      depth: Math.min(stride, remaining) - 1,
      width,
      nCandidates: most,
      leastReach: price.leastReach,
    });
    const { candidates } = this.#tree;
    this.#followOthers();
    const reach = candidates.map((candidate) => candidate.reach);
    const n = bestPrefix(reach, (count) => price.proposals(count), most);
    const proposals = candidates.slice(0, n);
    return { proposals, maskRuns: this.#maskRuns(proposals, price, context) };
  }

  /** A plain round, for which nobody is asked and of which nothing is learned. */
  rest(): RoundShape {
    this.#tree = { candidates: [], offers: [] };
    return { proposals: [], maskRuns: [0] };
  }

  /** Every candidate at an anchor that stood was looked at, taken or not: the token drawn there is known. */
  learn(_shape: RoundShape, path: readonly number[], drawn: readonly number[]): void {
    const { acceptance } = this.#options;
    for (const { anchor, candidates } of this.#tree.offers) {
      const at = anchor === PENDING ? 0 : path.indexOf(anchor) + 1;
      const token = drawn[at];
      if (token === undefined || (anchor !== PENDING && at === 0)) continue;
      for (const candidate of candidates) acceptance.observe(candidate, candidate.depth, candidate.token === token);
    }
  }

  /** How likely the tokens up to a depth stand by other proposers than `kind`, lately. */
  othersAt(depth: number, kind: ProposerKind): number {
    return this.#others.get(kind)?.[depth - 1] ?? 0;
  }

  #maskRuns(proposals: readonly Candidate[], price: RoundPrices, context: PlanContext): number[] {
    const { remaining, maxRun, maxRows } = context;
    const ends = [1, ...proposals.map(({ reach }) => reach)];
    for (const { parent, reach } of proposals) ends[parent + 1] = (ends[parent + 1] ?? 0) - reach;
    const depths = [0, ...proposals.map(({ depth }) => depth)];
    const longest = Math.min(this.#options.stride - 1, maxRun);
    // An anchor at depth d that stands leaves remaining - d - 1 tokens, one of them the next round's own.
    const anchors = depths.map((depth, i) => ({
      ends: Math.max(0, ends[i] ?? 0),
      longest: Math.max(0, Math.min(longest, remaining - depth - 2)),
    }));
    const most = Math.min(price.maxMaskRows, maxRows - 1 - proposals.length);
    const cost = (nRows: number) => price.maskRows(nRows, proposals.length);
    const { lengths, surplus } = chooseRuns(anchors, this.#worthOfMasks(longest, price), cost, most);
    return longest > 0 && price.paysForMasks(surplus) ? lengths : lengths.map(() => 0);
  }

  /**
   * Tokens that MASK i of a run yields in the next round: its candidates' survival, where no other proposer has the token
   * anyhow, less the price of verifying them.
   */
  #worthOfMasks(longest: number, { nextProposal }: RoundPrices): number[] {
    const { acceptance, width } = this.#options;
    const worth: number[] = [];
    let survival = 1;
    for (let depth = 1; depth <= longest; depth++) {
      const alone = survival * (1 - this.othersAt(depth, "mask"));
      let sum = 0;
      for (let rank = 0; rank < width; rank++) {
        sum += Math.max(0, alone * acceptance.ahead("mask", rank, depth) - nextProposal);
      }
      worth.push(sum);
      survival *= acceptance.ahead("mask", 0, depth);
    }
    return worth;
  }

  #followOthers(): void {
    const candidates = this.#tree.offers.flatMap((offer) => offer.candidates);
    for (const kind of ["mask", "draft"] as const) {
      const before = this.#others.get(kind) ?? new Array<number>(this.#options.stride - 1).fill(0);
      const now = before.map((share, i) => {
        const others = candidates.filter(({ source, depth }) => depth === i + 1 && source !== kind);
        const sum = others.reduce((total, { reach }) => total + reach, 0);
        return share + (sum - share) / OTHERS_MEMORY;
      });
      this.#others.set(kind, now);
    }
  }
}

/** As many proposals and MASK rows as given, for nothing. */
export function freeRows(maxProposals: number, maxMaskRows: number): RoundPrices {
  return {
    ...{ maxProposals, maxMaskRows, nextProposal: 0, leastReach: 1e-4 },
    ...{ proposals: () => 0, maskRows: () => 0, paysForMasks: () => true },
  };
}
