import { AcceptanceModel, SequenceAcceptance } from "./acceptance-model.ts";
import { AutoPlanner } from "../planners/auto-planner.ts";
import type { StepObservation } from "./cost-model.ts";
import { Machine } from "./machine.ts";
import { FixedPlanner, type FixedShape, type Planner } from "../planners/planner.ts";
import type { Verification } from "../round/round.ts";
import { StaticTreePlanner } from "../planners/static-tree-planner.ts";
import { TreePlanner } from "../planners/tree-planner.ts";

export interface ControllerOptions {
  /** What share of a token row's layers a MASK row passes: 1 - entry layer / layers. 1 where there are none. */
  readonly maskShare: number;
  /** A clock, in milliseconds. */
  readonly now?: () => number;
}

/** What a planner is for. */
export interface PlannerRequest {
  /** auto: exact verification only; in the other modes the text depends on the rounds. */
  readonly shape: FixedShape | "tree" | "auto";
  /** Tokens that a round yields at best. */
  readonly stride: number;
  readonly verification: Verification;
}

/** Alternatives per anchor where nobody says how many. */
const WIDTH = 3;

/**
 * Chooses rounds for all sequences of one model, so as to write the most tokens per second: it learns what steps cost
 * (CostModel) and how often what is proposed stands (AcceptanceModel). By the renewal-reward theorem the best long-run rate
 * lambda is reached by taking, in every round, each row whose expected tokens exceed lambda x its time; lambda is measured
 * while running. Plain decoding is what remains where no row pays. One for each loaded model.
 */
export class Controller {
  readonly #acceptance = new AcceptanceModel();
  readonly #machine: Machine;

  constructor({ maskShare, now = () => performance.now() }: ControllerOptions) {
    this.#machine = new Machine(maskShare, now);
  }

  /** A planner for one sequence. */
  planner({ shape, stride, verification }: PlannerRequest): Planner {
    if (shape === "chain" || shape === "quadratic") return new FixedPlanner(shape, stride);
    const rows = treeRows(stride);
    if (verification.mode !== "exact") {
      if (shape === "auto") throw new TypeError("the text depends on the rounds: they are fixed, auto is none");
      return new StaticTreePlanner({ stride, ...rows });
    }
    const acceptance = new SequenceAcceptance(this.#acceptance);
    if (shape === "auto") return new AutoPlanner(this.#machine, acceptance, { stride, width: WIDTH });
    return new TreePlanner({ acceptance, stride, width: WIDTH, ...rows });
  }

  /** Once for every step, after its results were digested. */
  observeStep(step: StepObservation): void {
    this.#machine.observe(step);
  }
}

/** Rows of a tree of which only the stride is asked for: MASK rows as a quadratic round has, twice its proposals. */
function treeRows(stride: number): { readonly maxProposals: number; readonly maxMaskRows: number } {
  return { maxProposals: 2 * (stride - 1), maxMaskRows: stride * (stride - 1) };
}
