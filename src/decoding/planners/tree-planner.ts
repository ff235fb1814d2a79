import { runLengths } from "../round/mask-runs.ts";
import type { LookAhead, PlanContext, Planner, RoundShape } from "./planner.ts";
import type { Proposer } from "../proposers/proposer.ts";
import { TreeOffers, type TreeOffersOptions } from "./tree-offers.ts";

export interface TreePlannerOptions extends TreeOffersOptions {
  readonly maxProposals: number;
  readonly maxMaskRows: number;
}

/** Candidates that are likelier not to be looked at again than to stand. */
const LEAST_REACH = 1e-4;

/**
 * Rounds of trees of so many rows, for exact verification. Proposals: the nodes of largest reach. MASK runs: off the anchors at
 * which verification is likely to end, as long as proposals made from them are likely to stand.
 */
export class TreePlanner implements Planner {
  readonly #options: TreePlannerOptions;
  readonly #offers: TreeOffers;

  constructor(options: TreePlannerOptions) {
    this.#options = options;
    this.#offers = new TreeOffers(options);
  }

  lookAhead(_proposer: Proposer, context: PlanContext): LookAhead {
    return this.#offers.lookAhead(context);
  }

  plan(context: PlanContext): RoundShape {
    const { maxProposals, maxMaskRows } = this.#options;
    const proposals = this.#offers.grow(context, { nCandidates: maxProposals, leastReach: LEAST_REACH, asking: 0 });
    const rows = this.#offers.maskRows(proposals, 0, context).slice(0, maxMaskRows);
    return { proposals, maskRuns: runLengths(rows, proposals.length + 1) };
  }

  learn(_shape: RoundShape, path: readonly number[], drawn: readonly number[]): void {
    this.#offers.learn(path, drawn);
  }
}
