import type { GatedModel, GatedStep, LossSettings, RowLoss } from "../compute/gradients/gated-step.ts";
import { type TensorToWrite, tensorOf } from "../formats/safetensors/safetensors-writer.ts";
import { anchorSpans } from "./batches/anchors.ts";
import { RoundStarts } from "./batches/round-starts.ts";
import { Schedule, SEQUENCES_PER_STEP, type Visit } from "./batches/schedule.ts";
import type { TrainingRow } from "./data/training-data.ts";
import { keptDepths } from "./evaluation/evaluate.ts";
import { learningRateFactor } from "./learning-rate.ts";
import { OptimiserState, readTensor } from "./optimiser-state.ts";
import type { TrainingSettings } from "./settings.ts";
import type { StepReport, StepShare, StepTrainer, TrainedValues } from "./training-loop.ts";

/** A visit that is part of a step's batch. */
interface ChosenVisit extends Visit {
  readonly anchors: readonly number[];
}

/** The state of a run, and its steps. */
export class Trainer implements StepTrainer {
  readonly #model: GatedModel;
  readonly #settings: TrainingSettings;
  readonly #rows: readonly TrainingRow[];
  readonly #schedule: Schedule;
  readonly #state: OptimiserState;
  #starts: RoundStarts;
  #step = 0;

  /** `rows` with room for a run each; `values` as the model has them. */
  constructor(model: GatedModel, settings: TrainingSettings, rows: readonly TrainingRow[], values: TrainedValues) {
    this.#model = model;
    this.#settings = settings;
    this.#rows = rows;
    this.#state = new OptimiserState(values);
    this.#schedule = new Schedule(settings.seed, rows.length, settings.visits);
    this.#starts = new RoundStarts(settings.seed, walksOf(settings));
  }

  get values(): TrainedValues {
    return this.#state.values;
  }

  get step(): number {
    return this.#step;
  }

  async next(share: StepShare): Promise<StepReport> {
    const { learningRate: peak } = this.#settings;
    const nMasks = masksAt(share.before, this.#settings);
    const visits = this.#chooseVisits(nMasks);
    const sequences = visits.map(({ row, anchors }) => {
      const { tokens } = this.#rows[row] as TrainingRow;
      return { key: row, tokens, anchors: Int32Array.from(anchors) };
    });
    const result = await this.#model.step({ sequences, nMasks }, lossAt(share.before, nMasks, this.#settings), true);
    const learningRate = peak * learningRateFactor(share.before, share.after);
    await this.#state.update(this.#model, result, this.#step + 1, { learningRate, weightDecayOf: () => 0 });
    this.#step++;
    this.#advance(visits, result, nMasks);
    const report = {
      loss: result.loss,
      rows: result.rowLosses.length,
      gradientNorm: result.gradientNorm,
      learningRate,
    };
    return { step: this.#step, ...report, survival: survivalOf(result, nMasks) };
  }

  #chooseVisits(nMasks: number): ChosenVisit[] {
    const chosen: ChosenVisit[] = [];
    for (const visit of this.#schedule.visits(this.#step)) {
      if (visit.isFirst) this.#starts.restart(visit.slot);
      if (chosen.some(({ row }) => row === visit.row)) continue;
      const spans = anchorSpans((this.#rows[visit.row] as TrainingRow).isResponse, nMasks);
      const count = anchorsPerSequence(this.#settings.batchRows, nMasks);
      chosen.push({ ...visit, anchors: this.#starts.choose(this.#step, visit.slot, spans, count) });
    }
    return chosen;
  }

  /** Moves the walks of round starts on by the step's own acceptance. */
  #advance(visits: readonly ChosenVisit[], { textRank }: GatedStep, nMasks: number): void {
    let first = 0;
    for (const { slot, anchors } of visits) {
      const kept = new Map(anchors.map((anchor, i) => [anchor, keptDepths(textRank, nMasks, first + i)]));
      this.#starts.advance(slot, (anchor) => kept.get(anchor) ?? 0);
      first += anchors.length;
    }
  }

  tensors(): Map<string, TensorToWrite> {
    return new Map([["round_starts", tensorOf(this.#starts.state)], ...this.#state.tensors()]);
  }

  async restore(
    step: number,
    tensors: ReadonlyMap<string, TensorToWrite>,
    wrong: (name: string) => never,
  ): Promise<void> {
    const starts = new RoundStarts(this.#settings.seed, walksOf(this.#settings));
    readTensor(tensors, "round_starts", starts.state, wrong);
    this.#state.restore(tensors, wrong);
    this.#starts = starts;
    this.#step = step;
    await this.#model.replaceParameters(this.values);
  }
}

/** Anchors of each sequence of a step. */
export function anchorsPerSequence(batchRows: number, nMasks: number): number {
  return Math.max(1, Math.floor(batchRows / (SEQUENCES_PER_STEP * nMasks)));
}

function walksOf({ batchRows, masks, roundStarts }: TrainingSettings): number {
  return Math.round(roundStarts * anchorsPerSequence(batchRows, masks));
}

/** Length of MASK runs after a share of the run. */
export function masksAt(share: number, { masks, maskCurriculum }: TrainingSettings): number {
  if (maskCurriculum === 0) return masks;
  return Math.min(masks, 1 + Math.floor((share / maskCurriculum) * masks));
}

/** The loss after a share of the run. */
export function lossAt(
  share: number,
  nMasks: number,
  { loss, depthWeights, firstMiss }: TrainingSettings,
): LossSettings {
  const last = depthWeights.at(-1) ?? 1;
  const mixture: Partial<Record<RowLoss, number>> =
    loss === "annealed" ? { kl: 1 - share, log_overlap: share } : { [loss]: 1 };
  return { mixture, firstMiss, depthWeights: Array.from({ length: nMasks }, (_, i) => depthWeights[i] ?? last) };
}

function survivalOf({ textRank }: GatedStep, nMasks: number): number[] {
  const nAnchors = textRank.length / nMasks;
  const counts = new Array<number>(nMasks).fill(0);
  for (let anchor = 0; anchor < nAnchors; anchor++) {
    const kept = keptDepths(textRank, nMasks, anchor);
    for (let depth = 0; depth < kept; depth++) counts[depth] = (counts[depth] ?? 0) + 1;
  }
  return counts.map((count) => count / nAnchors);
}
