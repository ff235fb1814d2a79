import { AcceptanceModel, SequenceAcceptance } from "./acceptance-model.ts";
import type { StepObservation } from "./cost-model.ts";
import { RoundPlanner } from "./round-planner.ts";
import { FixedPlanner, type Planner } from "../planners/planner.ts";
import type { Verification } from "../round/round.ts";
import { type Shape, shapes } from "../planners/shapes.ts";

export interface ControllerOptions {
  /** The share of a token row's layers that a MASK row passes: 1 - entry layer / layers. 1 without MASK rows. */
  readonly maskShare: number;
}

/** Round options of a sequence. */
export interface PlannerRequest {
  /** plain: no proposals. Exact-only shapes need exact verification. */
  readonly shape: Shape | "plain";
  /** Most tokens of a round. */
  readonly stride: number;
  readonly verification: Verification;
}

/**
 * Chooses the rounds of all sequences of one model, to maximise tokens per second, from the measured time of steps (CostModel)
 * and the measured acceptance of proposals (AcceptanceModel). By the renewal-reward theorem the best long-run rate lambda is
 * reached by including, in every round, each row whose expected tokens exceed lambda x its time; lambda is measured while
 * running. Without such a row the round is plain decoding. One controller per loaded model. docs/architecture.md has its parts in
 * the order of a step.
 */
export class Controller {
  readonly #acceptance = new AcceptanceModel();
  readonly #rounds: RoundPlanner;

  constructor({ maskShare }: ControllerOptions) {
    this.#rounds = new RoundPlanner(maskShare);
  }

  /** A planner for one sequence. */
  planner({ shape, stride, verification }: PlannerRequest): Planner {
    if (shape === "plain") return new FixedPlanner("chain", 1);
    const isExact = verification.mode === "exact";
    if (!isExact && shapes[shape].isExactOnly)
      throw new TypeError(`${shape}: only for exact verification; in the other modes rounds are fixed`);
    const acceptance = () => new SequenceAcceptance(this.#acceptance);
    return shapes[shape].create({ stride, isExact, acceptance, rounds: this.#rounds });
  }

  /** Chooses the rounds that were planned since the last call, of all sequences jointly. Before they are read. */
  chooseRounds(): void {
    this.#rounds.choose();
  }

  /** Records the time of proposing for all sequences of a step, before observeStep of the same step. */
  observeProposing(ms: number): void {
    this.#rounds.proposingTime.observe(ms);
  }

  /** Once for every step, after its results were applied. */
  observeStep(step: StepObservation): void {
    this.#rounds.observe(step);
  }
}
