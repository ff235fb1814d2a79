import type { Proposer } from "../proposers/proposer.ts";
import { candidatesAt, type Proposing } from "../round/proposing.ts";
import { PENDING, type Proposal, proposalDepths } from "../round/round.ts";

/** State of a sequence before a round. */
export interface PlanContext {
  /** In order of preference, for planners without one of their own. */
  readonly proposers: readonly Proposer[];
  /** Tokens that may still be generated; at least 1. */
  readonly remaining: number;
  /** Most rows of the round, including its pending token. */
  readonly maxRows: number;
  /** Most MASK rows in a run; 0: none at all. */
  readonly maxRun: number;
  /** Position of the pending token, for the cost of attention. */
  readonly position: number;
}

/** Rows of a sequence's next round. */
export interface RoundShape {
  /** Parents before children. */
  readonly proposals: readonly Proposal[];
  /** Length of the MASK run at each anchor, [PENDING + 1 …, proposals…]; 0: none. */
  readonly maskRuns: readonly number[];
}

/** A round whose rows are chosen together with those of the other sequences, by `Controller.chooseRounds`. */
export interface OpenRound {
  /** Undefined until then. */
  readonly shape: RoundShape | undefined;
}

/** Depth and number of alternatives that a proposer prepares. */
export interface LookAhead {
  /** 0: the round is planned without this proposer. */
  readonly depth: number;
  readonly width: number;
}

/** Chooses rounds. With exact verification this affects only the time. */
export interface Planner {
  /** What a proposer with `prepare` should compute before `plan`. */
  lookAhead(proposer: Proposer, context: PlanContext): LookAhead;
  /** Plans the next round; yields its proposers' requests to the model. */
  plan(context: PlanContext): Proposing<RoundShape | OpenRound>;
  /** Result of a round: the path of accepted proposals, and the drawn tokens (theirs and at most one more). */
  learn?(shape: RoundShape, path: readonly number[], drawn: readonly number[]): void;
}

/** A chain of proposals with MASK runs. */
export type FixedShape = "chain" | "quadratic";

/** The same shape in each round, as far as there are proposals. */
export class FixedPlanner implements Planner {
  readonly #stride: number;
  readonly #shape: FixedShape;

  /** `stride`: most tokens of a round; 1: plain decoding. */
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

/** At each depth the best token of the first proposer that has one. */
function* chainOfBest(proposers: readonly Proposer[], depth: number): Proposing<Proposal[]> {
  const proposals: Proposal[] = [];
  const path: number[] = [];
  while (path.length < depth) {
    const proposal = yield* bestAfter(proposers, path);
    // The adapter's draft vocabulary may have no allowed token.
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
 * Lengths of the MASK runs, [PENDING, proposals…]. chain: at the last proposal only (arXiv 2604.11035, section 4);
 * quadratic: at every anchor, so that no round starts cold (arXiv 2507.11851). No run is longer than later rounds can
 * use: an accepted anchor at depth d leaves `remaining` - d - 1 tokens, and the next round draws one of them itself.
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

/** Shortens the runs, the last ones first, to `most` rows in total. */
function withinRows(runs: readonly number[], max: number): number[] {
  let left = max;
  return runs.map((length) => {
    const kept = Math.max(0, Math.min(length, left));
    left -= kept;
    return kept;
  });
}
