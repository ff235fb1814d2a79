import type { SequenceAcceptance } from "../controller/acceptance-model.ts";
import { type Candidate, type GrowthLimits, growTree, noCandidateTree } from "../round/candidate-tree.ts";
import type { Proposing } from "../round/proposing.ts";
import { type MaskRow, maskRowsByValue, runAnchors } from "../round/mask-runs.ts";
import type { LookAhead, PlanContext } from "./planner.ts";
import { kindsThatWorkAhead } from "../proposers/registry.ts";
import { PENDING } from "../round/round.ts";

export interface TreeProposalsOptions {
  readonly acceptance: SequenceAcceptance;
  /** Tokens that a round yields at best. */
  readonly stride: number;
  /** Alternatives of a proposer at each anchor. */
  readonly width: number;
}

/** EMA window of what other proposers propose (rounds). */
const OTHERS_WINDOW = 8;

/**
 * What a sequence's next round may be made of, for exact verification: its proposers' tokens with how likely each stands,
 * and the MASK rows with what they are worth in the round after.
 */
export class TreeProposals {
  readonly #options: TreeProposalsOptions;
  #tree = noCandidateTree;
  /** For each proposer that works ahead, by depth: how likely the tokens up to it stood without it recently. */
  readonly #others = new Map<string, number[]>();

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
    this.#followOthers();
    return this.#tree.candidates;
  }

  /** A round without proposals: nothing is learned from it. */
  skip(): void {
    this.#tree = noCandidateTree;
  }

  /** Anchors at which proposers were asked for the round. */
  get nAnchors(): number {
    return this.#tree.nAnchors;
  }

  /** MASK rows off the pending token (anchor 0) and the proposals, the most valuable first; `nextProposal`: what it costs to verify one, in tokens. */
  maskRows(proposals: readonly Candidate[], nextProposal: number, context: PlanContext): readonly MaskRow[] {
    const { remaining, maxRun, maxRows } = context;
    const longest = Math.min(this.#options.stride - 1, maxRun);
    if (longest === 0) return [];
    const anchors = runAnchors(proposals, longest, remaining);
    return maskRowsByValue(anchors, this.#worthOfMasks(longest, nextProposal)).slice(0, maxRows - 1 - proposals.length);
  }

  /** The token drawn at each anchor that stood says of all its candidates, in the tree or not, whether they are right. */
  learn(path: readonly number[], drawn: readonly number[]): void {
    const { acceptance } = this.#options;
    for (const { anchor, candidates } of this.#tree.proposed) {
      const at = anchor === PENDING ? 0 : path.indexOf(anchor) + 1;
      const token = drawn[at];
      if (token === undefined || (anchor !== PENDING && at === 0)) continue;
      for (const candidate of candidates) acceptance.observe(candidate, candidate.depth, candidate.token === token);
    }
  }

  /** How likely the tokens up to a depth stood by other proposers than `kind` recently. */
  othersAt(depth: number, kind: string): number {
    return this.#others.get(kind)?.[depth - 1] ?? 0;
  }

  /**
   * Tokens that MASK i of a run yields in the next round: its candidates' survival, where no other proposer has the token
   * anyhow, less the price of verifying them.
   */
  #worthOfMasks(longest: number, nextProposal: number): number[] {
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
    const candidates = this.#tree.proposed.flatMap((anchor) => anchor.candidates);
    for (const kind of kindsThatWorkAhead) {
      const before = this.#others.get(kind) ?? new Array<number>(this.#options.stride - 1).fill(0);
      const now = before.map((share, i) => {
        const others = candidates.filter(({ source, depth }) => depth === i + 1 && source !== kind);
        const sum = others.reduce((total, { reach }) => total + reach, 0);
        return share + (sum - share) / OTHERS_WINDOW;
      });
      this.#others.set(kind, now);
    }
  }
}
