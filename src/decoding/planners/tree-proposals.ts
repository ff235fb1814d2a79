import type { SequenceAcceptance } from "../controller/acceptance-model.ts";
import { type Candidate, type GrowthLimits, growTree, noCandidateTree } from "../round/candidate-tree.ts";
import type { Proposing } from "../round/proposing.ts";
import { type MaskRow, maskRowsByValue, runAnchors } from "../round/mask-runs.ts";
import type { LookAhead, PlanContext } from "./planner.ts";
import { PENDING } from "../round/round.ts";

export interface TreeProposalsOptions {
  readonly acceptance: SequenceAcceptance;
  /** Most tokens of a round. */
  readonly stride: number;
  /** Alternatives of a proposer at each anchor. */
  readonly width: number;
}

/**
 * Candidates of a sequence's next round, for exact verification: proposed tokens with their estimated acceptance, and
 * MASK rows with their value in the round after.
 */
export class TreeProposals {
  readonly #options: TreeProposalsOptions;
  #tree = noCandidateTree;

  constructor(options: TreeProposalsOptions) {
    this.#options = options;
  }

  lookAhead({ remaining, maxRows }: PlanContext): LookAhead {
    const { stride, width } = this.#options;
    return { depth: Math.min(stride, remaining, maxRows) - 1, width };
  }

  /** Candidates of the proposers by descending reach, parents before children. */
  *grow(
    { proposers, remaining, maxRows }: PlanContext,
    limits: Pick<GrowthLimits, "nCandidates" | "leastReach" | "anchorCost">,
  ): Proposing<readonly Candidate[]> {
    const { stride, width, acceptance } = this.#options;
    this.#tree = yield* growTree(proposers, acceptance, {
      ...{ ...limits, width, depth: Math.min(stride, remaining) - 1 },
      nCandidates: Math.min(limits.nCandidates, maxRows - 1),
    });
    return this.#tree.candidates;
  }

  /** Ends a round without proposals: nothing is learned from it. */
  skip(): void {
    this.#tree = noCandidateTree;
  }

  /** Anchors of the round at which proposers were called. */
  get nAnchors(): number {
    return this.#tree.nAnchors;
  }

  /**
   * MASK rows at the pending token (anchor 0) and the proposals, the most valuable first. `nextProposal`: price of
   * verifying a proposal, in tokens.
   */
  maskRows(proposals: readonly Candidate[], nextProposal: number, context: PlanContext): readonly MaskRow[] {
    const { remaining, maxRun, maxRows } = context;
    const longest = Math.min(this.#options.stride - 1, maxRun);
    if (longest === 0) return [];
    const anchors = runAnchors(proposals, longest, remaining);
    return maskRowsByValue(anchors, this.#worthOfMasks(longest, nextProposal)).slice(0, maxRows - 1 - proposals.length);
  }

  /**
   * The token drawn at each accepted anchor tells which of all its candidates was right, included in the tree or not.
   */
  learn(path: readonly number[], drawn: readonly number[]): void {
    const { acceptance } = this.#options;
    for (const { anchor, candidates } of this.#tree.proposed) {
      const at = anchor === PENDING ? 0 : path.indexOf(anchor) + 1;
      const token = drawn[at];
      if (token === undefined || (anchor !== PENDING && at === 0)) continue;
      for (const candidate of candidates) acceptance.observe(candidate, candidate.depth, candidate.token === token);
    }
  }

  /**
   * Tokens that MASK i of a run yields in the next round: probability that one of its candidates is accepted, less the price of
   * verifying them.
   */
  #worthOfMasks(longest: number, nextProposal: number): number[] {
    const { acceptance, width } = this.#options;
    const worth: number[] = [];
    let survival = 1;
    for (let depth = 1; depth <= longest; depth++) {
      let sum = 0;
      for (let rank = 0; rank < width; rank++) {
        sum += Math.max(0, survival * acceptance.ahead("mask", rank, depth) - nextProposal);
      }
      worth.push(sum);
      survival *= acceptance.ahead("mask", 0, depth);
    }
    return worth;
  }
}
