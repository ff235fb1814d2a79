import type { FullBatch, FullModel, FullStep } from "../../compute/gradients/full-step.ts";
import { fullForest, responseSpans } from "../../compute/gradients/training-forests.ts";
import type { TensorToWrite } from "../../formats/safetensors/safetensors-writer.ts";
import { EpochOrder } from "../batches/epoch-order.ts";
import type { TrainingRow } from "../data/training-data.ts";
import { learningRateFactor } from "../learning-rate.ts";
import { OptimiserState } from "../optimiser-state.ts";
import type { StepReport, StepShare, StepTrainer, TrainedValues } from "../training-loop.ts";
import { stageAt, type WeightSettings } from "./weight-settings.ts";

/** Training of all weights. */
export class WeightTrainer implements StepTrainer {
  readonly #model: FullModel;
  readonly #settings: WeightSettings;
  readonly #rows: readonly TrainingRow[];
  readonly #maskToken: number;
  readonly #isMatrix: (id: string) => boolean;
  readonly #state: OptimiserState;
  readonly #nSequences: number;
  readonly #order: EpochOrder;
  #step = 0;

  /** `values` as the model has them; weight decay applies to those that `isMatrix`. */
  constructor(
    model: FullModel,
    settings: WeightSettings,
    rows: readonly TrainingRow[],
    options: {
      readonly values: TrainedValues;
      readonly maskToken: number;
      readonly isMatrix: (id: string) => boolean;
    },
  ) {
    this.#model = model;
    this.#settings = settings;
    this.#rows = rows;
    this.#maskToken = options.maskToken;
    this.#isMatrix = options.isMatrix;
    this.#state = new OptimiserState(options.values);
    this.#nSequences = sequencesPerStep(rows, settings);
    this.#order = new EpochOrder(settings.seed, rows.length, 2);
  }

  get step(): number {
    return this.#step;
  }

  get values(): TrainedValues {
    return this.#state.values;
  }

  async next(share: StepShare): Promise<StepReport> {
    const { block, alpha } = stageAt(share.before, this.#settings);
    const sequences = this.#choose();
    const noise = block === 0 ? undefined : { block, maskToken: this.#maskToken };
    const batch: FullBatch = { sequences, alpha, ...(noise && { noise }) };
    const result = await this.#model.step(batch, true);
    const learningRate = this.#settings.learningRate * learningRateFactor(share.before, share.after);
    const { weightDecay } = this.#settings;
    const weightDecayOf = (id: string) => (this.#isMatrix(id) ? weightDecay : 0);
    await this.#state.update(this.#model, result, this.#step + 1, { learningRate, weightDecayOf });
    this.#step++;
    const { loss, rowLosses, gradientNorm } = result;
    const survival = survivalOf(batch, result);
    return { step: this.#step, loss, rows: rowLosses.length, gradientNorm, learningRate, survival };
  }

  #choose(): TrainingRow[] {
    const first = this.#step * this.#nSequences;
    return Array.from({ length: this.#nSequences }, (_, i) => this.#rows[this.#order.rowAt(first + i)] as TrainingRow);
  }

  tensors(): Map<string, TensorToWrite> {
    return this.#state.tensors();
  }

  async restore(
    step: number,
    tensors: ReadonlyMap<string, TensorToWrite>,
    wrong: (name: string) => never,
  ): Promise<void> {
    this.#state.restore(tensors, wrong);
    this.#step = step;
    await this.#model.replaceParameters(this.values);
  }
}

/** Rows with a target are the clean ones before a response's tokens, and as many MASKs less one. */
function sequencesPerStep(rows: readonly TrainingRow[], { batchRows, masks }: WeightSettings): number {
  let targets = 0;
  for (const { isResponse } of rows) {
    for (const { first, end } of responseSpans(isResponse)) {
      targets += end - Math.max(first, 1) + (masks > 0 ? end - first - 1 : 0);
    }
  }
  return Math.max(1, Math.round((batchRows * rows.length) / Math.max(1, targets)));
}

/** Whether a row has a token to predict, and with MASKs one that a MASK predicts. */
export function isUsable({ isResponse }: TrainingRow, masks: number): boolean {
  return responseSpans(isResponse).some(({ first, end }) => (masks > 0 ? end - first > 1 : end > 1));
}

/** By depth: share of the MASKs that rank their token first, as all those before them in their block do. */
export function survivalOf({ sequences, noise }: FullBatch, { ranks }: Pick<FullStep, "ranks">): number[] {
  if (noise === undefined) return [];
  const counts = Array.from({ length: noise.block }, () => ({ kept: 0, all: 0 }));
  let at = 0;
  let isKept = true;
  for (const sequence of sequences) {
    const { noisyRows, cleanRows } = fullForest(sequence, noise);
    for (const { depth } of noisyRows) {
      isKept = (depth === 1 || isKept) && ranks[at++] === 0;
      const count = counts[depth - 1];
      if (count === undefined) continue;
      count.all++;
      if (isKept) count.kept++;
    }
    at += cleanRows.length;
  }
  return counts.map(({ kept, all }) => (all === 0 ? 0 : kept / all));
}
