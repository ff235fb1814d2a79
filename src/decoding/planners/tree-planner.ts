import { runLengths } from "../round/mask-runs.ts";
import type { Proposer } from "../proposers/proposer.ts";
import type { Proposing } from "../round/proposing.ts";
import type { LookAhead, PlanContext, Planner, RoundShape } from "./planner.ts";
import { TreeProposals, type TreeProposalsOptions } from "./tree-proposals.ts";

export interface TreePlannerOptions extends TreeProposalsOptions {
  readonly maxProposals: number;
  readonly maxMaskRows: number;
}

/** Candidates below this reach are not included. */
const MIN_REACH = 1e-4;

/**
 * Trees of a fixed number of rows, for exact verification: the proposals of largest reach, and MASK runs at the anchors
 * where verification is likely to end, as long as proposals from them are likely to be accepted.
 */
export class TreePlanner implements Planner {
  readonly #options: TreePlannerOptions;
  readonly #tree: TreeProposals;

  constructor(options: TreePlannerOptions) {
    this.#options = options;
    this.#tree = new TreeProposals(options);
  }

  lookAhead(_proposer: Proposer, context: PlanContext): LookAhead {
    return this.#tree.lookAhead(context);
  }

  *plan(context: PlanContext): Proposing<RoundShape> {
    const { maxProposals, maxMaskRows } = this.#options;
    const proposals = yield* this.#tree.grow(context, {
      nCandidates: maxProposals,
      leastReach: MIN_REACH,
      anchorCost: 0,
    });
    const rows = this.#tree.maskRows(proposals, 0, context).slice(0, maxMaskRows);
    return { proposals, maskRuns: runLengths(rows, proposals.length + 1) };
  }

  learn(_shape: RoundShape, path: readonly number[], drawn: readonly number[]): void {
    this.#tree.learn(path, drawn);
  }
}
