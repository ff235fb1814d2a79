import { adamWDefaults, clippingFactor, newMoments } from "../compute/gradients/adamw.ts";
import type { AdamWMoments } from "../compute/gradients/adamw.ts";
import type { AdamWTensor, GatedModel, GatedStep, LossSettings, RowLoss } from "../compute/gradients/gated-step.ts";
import { IdlmError } from "../errors.ts";
import { tensorOf, type TensorToWrite } from "../formats/safetensors/safetensors-writer.ts";
import { anchorSpans } from "./batches/anchors.ts";
import { RoundStarts } from "./batches/round-starts.ts";
import { Schedule, SEQUENCES_PER_STEP, type Visit } from "./batches/schedule.ts";
import type { TrainingRow } from "./data/training-data.ts";
import { keptDepths } from "./evaluation/evaluate.ts";
import { learningRateFactor } from "./learning-rate.ts";
import type { TrainingSettings } from "./settings.ts";

/** Parameters that are trained, by id; updated in place. */
export type TrainedValues = ReadonlyMap<string, Float32Array<ArrayBuffer>>;

/** Which part of the run a step is, from 0 to 1: before it, and after it. */
export interface StepShare {
  readonly before: number;
  readonly after: number;
}

/** Report of a step. */
export interface StepReport {
  /** From 1. */
  readonly step: number;
  readonly loss: number;
  /** MASK rows. */
  readonly rows: number;
  /** Before clipping. */
  readonly gradientNorm: number;
  readonly learningRate: number;
  /** By depth: share of the step's anchors whose MASKs up to that depth all rank the sequence's token first. */
  readonly survival: readonly number[];
}

/** A visit that is part of a step's batch. */
interface ChosenVisit extends Visit {
  readonly anchors: readonly number[];
}

/** The state of a run, and its steps. */
export class Trainer {
  readonly #model: GatedModel;
  readonly #settings: TrainingSettings;
  readonly #rows: readonly TrainingRow[];
  readonly #schedule: Schedule;
  readonly #moments: ReadonlyMap<string, AdamWMoments>;
  #starts: RoundStarts;
  #step = 0;
  readonly values: TrainedValues;

  /** `rows` with room for a run each; `values` as the model has them. */
  constructor(model: GatedModel, settings: TrainingSettings, rows: readonly TrainingRow[], values: TrainedValues) {
    this.#model = model;
    this.#settings = settings;
    this.#rows = rows;
    this.values = values;
    this.#moments = new Map([...values].map(([id, { length }]) => [id, newMoments(length)]));
    this.#schedule = new Schedule(settings.seed, rows.length, settings.visits);
    this.#starts = new RoundStarts(settings.seed, walksOf(settings));
  }

  /** Steps that are done. */
  get step(): number {
    return this.#step;
  }

  /** One step. @throws IdlmError "not-finite", "diverged"; the state is then that of the step before. */
  async next(share: StepShare): Promise<StepReport> {
    const { learningRate: peak } = this.#settings;
    const nMasks = masksAt(share.before, this.#settings);
    const visits = this.#chooseVisits(nMasks);
    const sequences = visits.map(({ row, anchors }) => {
      const { tokens } = this.#rows[row] as TrainingRow;
      return { key: row, tokens, anchors: Int32Array.from(anchors) };
    });
    const result = await this.#model.step({ sequences, nMasks }, lossAt(share.before, nMasks, this.#settings), true);
    const norm = result.gradientNorm;
    if (!Number.isFinite(norm)) throw diverged(this.#step + 1, "the gradient");
    const learningRate = peak * learningRateFactor(share.before, share.after);
    await this.#update(result.gradients, { learningRate, factor: clippingFactor(norm) });
    this.#advance(visits, result, nMasks);
    const report = { loss: result.loss, rows: result.rowLosses.length, gradientNorm: norm, learningRate };
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

  async #update(
    gradients: GatedStep["gradients"],
    options: { readonly learningRate: number; readonly factor: number },
  ): Promise<void> {
    const tensors = new Map<string, AdamWTensor>();
    for (const [id, values] of this.values) {
      const gradient = gradients.get(id);
      const moments = this.#moments.get(id);
      if (gradient === undefined || moments === undefined) continue;
      tensors.set(id, { values, gradient, ...moments, weightDecay: 0 });
    }
    this.#step++;
    await this.#model.update(tensors, { ...adamWDefaults, ...options, step: this.#step });
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

  /** Everything that the next steps depend on; views of the state, to be written before the next step. */
  tensors(): Map<string, TensorToWrite> {
    const tensors = new Map([["round_starts", tensorOf(this.#starts.state)]]);
    for (const [id, values] of this.values) {
      const { first, second } = this.#moments.get(id) ?? newMoments(0);
      tensors.set(`value.${id}`, tensorOf(values));
      tensors.set(`first_moment.${id}`, tensorOf(first));
      tensors.set(`second_moment.${id}`, tensorOf(second));
    }
    return tensors;
  }

  /** Goes on from `tensors()` of a trainer with the same settings. Calls `wrong` with the name of a tensor that does not fit. */
  async restore(
    step: number,
    tensors: ReadonlyMap<string, TensorToWrite>,
    wrong: (name: string) => never,
  ): Promise<void> {
    const read = (name: string, into: Float32Array | Int32Array) => {
      const { type, bytes } = tensors.get(name) ?? {};
      if (type !== (into instanceof Float32Array ? "F32" : "I32") || bytes?.length !== into.byteLength) wrong(name);
      else new Uint8Array(into.buffer, into.byteOffset, into.byteLength).set(bytes);
    };
    const starts = new RoundStarts(this.#settings.seed, walksOf(this.#settings));
    read("round_starts", starts.state);
    for (const [id, values] of this.values) {
      const { first, second } = this.#moments.get(id) ?? newMoments(0);
      read(`value.${id}`, values);
      read(`first_moment.${id}`, first);
      read(`second_moment.${id}`, second);
    }
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

function diverged(step: number, what: string): IdlmError {
  const hint = "Lower the learning rate, or begin from another seed; earlier checkpoints are kept.";
  return new IdlmError("diverged", { step, what, hint });
}
