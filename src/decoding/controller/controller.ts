import { AcceptanceModel, SequenceAcceptance } from "./acceptance-model.ts";
import { AutoPlanner } from "../planners/auto-planner.ts";
import type { StepObservation } from "./cost-model.ts";
import { RoundPlanner } from "./round-planner.ts";
import { FixedPlanner, type FixedShape, type Planner } from "../planners/planner.ts";
import type { Verification } from "../round/round.ts";
import { StaticTreePlanner } from "../planners/static-tree-planner.ts";
import { TreePlanner } from "../planners/tree-planner.ts";

export interface ControllerOptions {
  /** The share of a token row's layers that a MASK row passes: 1 - entry layer / layers. 1 without MASK rows. */
  readonly maskShare: number;
}

/** What a planner is for. */
export interface PlannerRequest {
  /** auto: exact verification only; in the other modes the text depends on the rounds. */
  readonly shape: FixedShape | "tree" | "auto";
  /** Tokens that a round yields at best. */
  readonly stride: number;
  readonly verification: Verification;
}

/** Alternatives per anchor. */
const WIDTH = 3;

/**
 * Chooses rounds for all sequences of one model, for the most tokens per second: it learns what steps cost (CostModel) and
 * how often proposals stand (AcceptanceModel). By the renewal-reward theorem the best long-run rate
 * lambda is reached by taking, in every round, each row whose expected tokens exceed lambda x its time; lambda is measured
 * while running. Plain decoding is what remains where no row pays. One for each loaded model.
 */
export class Controller {
  readonly #acceptance = new AcceptanceModel();
  readonly #rounds: RoundPlanner;

  constructor({ maskShare }: ControllerOptions) {
    this.#rounds = new RoundPlanner(maskShare);
  }

  /** A planner for one sequence. */
  planner({ shape, stride, verification }: PlannerRequest): Planner {
    if (shape === "chain" || shape === "quadratic") return new FixedPlanner(shape, stride);
    const rows = treeRows(stride);
    if (verification.mode !== "exact") {
      if (shape === "auto")
        throw new TypeError("auto: only for exact verification; in other modes rounds must be fixed");
      return new StaticTreePlanner({ stride, ...rows });
    }
    const acceptance = new SequenceAcceptance(this.#acceptance);
    if (shape === "auto") return new AutoPlanner(this.#rounds, acceptance, { stride, width: WIDTH });
    return new TreePlanner({ acceptance, stride, width: WIDTH, ...rows });
  }

  /** After proposing for sequences together: how long it took. Before the step that it belongs to is observed. */
  observeProposing(ms: number): void {
    this.#rounds.observeProposing(ms);
  }

  /** Once for every step, after its results were applied. */
  observeStep(step: StepObservation): void {
    this.#rounds.observe(step);
  }
}

/** Rows of a tree by its stride: as many MASK rows as a quadratic round, twice its proposals. */
function treeRows(stride: number): { readonly maxProposals: number; readonly maxMaskRows: number } {
  return { maxProposals: 2 * (stride - 1), maxMaskRows: stride * (stride - 1) };
}
