import type { Proposer } from "../proposers/proposer.ts";
import { candidatesAt, type Proposing } from "../round/proposing.ts";
import { PENDING, type Proposal, proposalDepths } from "../round/round.ts";

/** What a planner decides about. */
export interface PlanContext {
  /** In order of preference where a planner has none of its own. */
  readonly proposers: readonly Proposer[];
  /** Tokens that may still be generated; at least 1. */
  readonly remaining: number;
  /** Rows that the round may have, its pending token included. */
  readonly maxRows: number;
  /** Most MASK rows in a run; 0: none at all. */
  readonly maxRun: number;
  /** Positions before the round's rows, for the price of attention. */
  readonly position: number;
}

/**
 * The shape of one sequence's next round. A planner that chooses for all sequences together may do so when the first of
 * their shapes is read.
 */
export interface RoundShape {
  /** Parents before children. */
  readonly proposals: readonly Proposal[];
  /** Length of the MASK run off each anchor, [PENDING + 1 …, proposals…]; 0: none. */
  readonly maskRuns: readonly number[];
}

/** How deep a proposer is to look ahead, and with how many alternatives per position. */
export interface LookAhead {
  /** 0: not at all, and the round is planned without the proposer. */
  readonly depth: number;
  readonly width: number;
}

/** Chooses rounds. In exact mode its choices change the time only. */
export interface Planner {
  /** What a proposer that computes its candidates ahead (`prepare`) is to do before `plan`. */
  lookAhead(proposer: Proposer, context: PlanContext): LookAhead;
  /** Chooses the next round; yields the requests that its proposers have for the model. */
  plan(context: PlanContext): Proposing<RoundShape>;
  /** The outcome of a plan: the proposals that stood, from the first, and the drawn tokens that counted (theirs and at most one more). */
  learn?(shape: RoundShape, path: readonly number[], drawn: readonly number[]): void;
}

/** A chain of proposals, and where MASK runs go. */
export type FixedShape = "chain" | "quadratic";

/** Always the same round, as far as there are proposals for it. */
export class FixedPlanner implements Planner {
  readonly #stride: number;
  readonly #shape: FixedShape;

  /** `stride`: tokens that a forward yields at best; 1: plain decoding. */
  constructor(shape: FixedShape, stride: number) {
    this.#shape = shape;
    this.#stride = stride;
  }

  lookAhead(_proposer: Proposer, context: PlanContext): LookAhead {
    return { depth: this.#depth(context), width: 1 };
  }

  *plan(context: PlanContext): Proposing<RoundShape> {
    const { proposers, remaining, maxRows, maxRun } = context;
    const proposals = yield* chainOfBest(proposers, this.#depth(context));
    const maskRuns = maskRunLengths(proposals, Math.min(this.#stride - 1, maxRun), remaining, this.#shape);
    return { proposals, maskRuns: withinRows(maskRuns, maxRows - 1 - proposals.length) };
  }

  #depth({ remaining, maxRows }: PlanContext): number {
    return Math.min(this.#stride, remaining, maxRows) - 1;
  }
}

/** Each proposer's best token where those before it have none. */
function* chainOfBest(proposers: readonly Proposer[], depth: number): Proposing<Proposal[]> {
  const proposals: Proposal[] = [];
  const path: number[] = [];
  while (path.length < depth) {
    const proposal = yield* bestAfter(proposers, path);
    // An adapter's draft vocabulary may hold no token that is allowed here.
    if (proposal === undefined) break;
    proposals.push(proposal);
    path.push(proposal.token);
  }
  return proposals;
}

function* bestAfter(proposers: readonly Proposer[], path: readonly number[]): Proposing<Proposal | undefined> {
  for (const proposer of proposers) {
    const { tokens, confidences, from } = yield* candidatesAt(proposer, path, 1);
    const [token] = tokens;
    if (token === undefined) continue;
    const [confidence = 0] = confidences;
    return { token, parent: path.length - 1, source: proposer.kind, rank: 0, confidence, from };
  }
  return undefined;
}

/**
 * Lengths of the MASK runs, [PENDING, proposals…]. chain: off the last proposal only (arXiv 2604.11035, section 4);
 * quadratic: off every anchor, so that no round starts cold (arXiv 2507.11851). No run is longer than what the rounds
 * after it can use: an anchor at depth d that stands leaves `remaining` - d - 1 tokens to write, one of them the next
 * round's own.
 */
export function maskRunLengths(
  proposals: readonly Proposal[],
  runLength: number,
  remaining: number,
  shape: FixedShape,
): number[] {
  const depths = proposalDepths(proposals);
  return [0, ...depths].map((depth, index) => {
    const isAnchor = shape === "quadratic" || index === proposals.length + PENDING + 1;
    return isAnchor ? Math.max(0, Math.min(runLength, remaining - depth - 2)) : 0;
  });
}

/** Shortens the runs, the last ones first, to `most` rows in all. */
function withinRows(runs: readonly number[], most: number): number[] {
  let left = most;
  return runs.map((length) => {
    const kept = Math.max(0, Math.min(length, left));
    left -= kept;
    return kept;
  });
}
