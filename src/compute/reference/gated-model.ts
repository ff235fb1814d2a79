import { IdlmError } from "../../errors.ts";
import { type AdamWTensor, type AdamWUpdate, adamWUpdate, gradientNorm } from "../gradients/adamw.ts";
import type { GatedBatch, GatedModel, GatedStep, LossSettings } from "../gradients/gated-step.ts";
import { type LossOfMaskRow, logSoftmax, lossOfMaskRow } from "../gradients/row-losses.ts";
import { checkGatedBatch, gatedForest, maskRowsOf } from "../gradients/training-forests.ts";
import { draftVocabularyOf, HEAD_INPUT, type Program } from "../program/program.ts";
import { validateProgram } from "../program/validate-program.ts";
import { differentiate, ParameterGradients, runForest, type TrainingRun } from "./gradient-runs.ts";
import type { Floats, Run } from "./operation.ts";
import { runList } from "./operations.ts";
import { headRun, type Parameters, readParameters, replaceIn } from "./runs.ts";

/** A MASK row's results. */
interface MaskRow {
  /** Of the forward's run, and of the head's. */
  readonly row: number;
  readonly headRow: number;
  readonly depth: number;
  readonly result: LossOfMaskRow;
  readonly targetRank: number;
  readonly textRank: number;
}

/** One sequence of a batch after its forward. */
interface Forwarded {
  readonly training: TrainingRun;
  readonly head: Run | undefined;
  readonly rows: readonly MaskRow[];
}

/** Gated training by the reference backend. */
export class ReferenceGatedModel implements GatedModel {
  readonly #program: Program;
  readonly #parameters: Parameters;
  readonly #trainable: ReadonlySet<string>;

  constructor(program: Program) {
    validateProgram(program);
    maskRowsOf(program);
    this.#program = program;
    this.#parameters = readParameters(program);
    const trainable = Object.entries(program.parameters).filter(([, { isTrainable }]) => isTrainable);
    this.#trainable = new Set(trainable.map(([id]) => id));
  }

  async step(batch: GatedBatch, loss: LossSettings, wantsGradients: boolean): Promise<GatedStep> {
    checkGatedBatch(batch, this.#program);
    await new Promise((resolve) => setImmediate(resolve));
    const sequences = batch.sequences.map((sequence) => this.#forward(sequence, batch.nMasks, loss));
    const weights = sequences.map(({ rows }) => weightsOf(rows, loss));
    const total = weights.flat().reduce((a, b) => a + b, 0);
    const rows = sequences.flatMap((sequence) => sequence.rows);
    const weighted = weights.flat().map((weight, i) => (weight === 0 ? 0 : weight * (rows[i]?.result.loss as number)));
    const sums = new ParameterGradients(this.#parameters);
    if (wantsGradients) {
      sequences.forEach((sequence, i) => {
        const normalised = weights[i]?.map((weight) => weight / total) ?? [];
        this.#backward(sequence, normalised, sums);
      });
    }
    const gradients = wantsGradients ? sums.finish(this.#trainable) : new Map<string, Float32Array>();
    return {
      loss: weighted.reduce((a, b) => a + b, 0) / total,
      rowLosses: Float32Array.from(rows, ({ result }) => result.loss),
      targetRank: Int32Array.from(rows, ({ targetRank }) => targetRank),
      textRank: Int32Array.from(rows, ({ textRank }) => textRank),
      overlap: Float32Array.from(rows, ({ result }) => result.overlap),
      gradients,
      gradientNorm: gradientNorm(gradients.values()),
    };
  }

  update(tensors: ReadonlyMap<string, AdamWTensor>, update: AdamWUpdate): Promise<void> {
    return this.replaceParameters(adamWUpdate(tensors, update));
  }

  async replaceParameters(values: ReadonlyMap<string, Float32Array>): Promise<void> {
    replaceIn(this.#parameters, values);
  }

  dispose(): void {
    this.#parameters.matrices.clear();
  }

  #forward(sequence: GatedBatch["sequences"][number], nMasks: number, { mixture }: LossSettings): Forwarded {
    const { results, heads } = this.#program;
    const { maskRows, ...training } = gatedForest(sequence, nMasks);
    const forwarded = runForest(this.#program, this.#parameters, training);
    const { run, rowOf } = forwarded;
    const previous = maskRows.map(({ position }) => sequence.tokens[position] as number);
    const hidden = maskRows.map(({ row }) => run.read(results.hidden, rowOf(row)));
    const head = heads.sampler && headRun(hidden, previous, this.#parameters);
    if (head !== undefined) runList(heads.sampler?.operations ?? [], head);
    const draft = draftVocabularyOf(this.#program);
    const rows = maskRows.map(({ row, position, depth }, headRow): MaskRow => {
      const logits =
        head === undefined
          ? run.read(results.maskLogits ?? "", rowOf(row))
          : head.read(heads.sampler?.logits ?? "", headRow);
      const base = run.read(results.logits, rowOf(position));
      const logP = logSoftmax(base);
      const target = draft === undefined ? logP : Float64Array.from(draft, (id) => logP[id] as number);
      const result = lossOfMaskRow(logits, target, mixture);
      if (!Number.isFinite(result.loss)) throw new IdlmError("not-finite", { position });
      const best = base.indexOf(base.reduce((a, b) => Math.max(a, b)));
      const next = sequence.tokens[position + 1] ?? -1;
      const rankOfId = (id: number) => rankOf(logits, draft?.indexOf(id) ?? id);
      return { row: rowOf(row), headRow, depth, result, targetRank: rankOfId(best), textRank: rankOfId(next) };
    });
    return { training: forwarded, head, rows };
  }

  #backward({ training, head, rows }: Forwarded, weights: readonly number[], sums: ParameterGradients): void {
    const { results, heads, forward } = this.#program;
    const isTrainable = (id: string) => this.#trainable.has(id);
    const gradients = new Map(
      rows.map(({ row, headRow, result }, i) => {
        const key = head === undefined ? row : headRow;
        return [key, result.gradient.map((g) => g * (weights[i] as number))];
      }),
    );
    // K and V of token rows depend on nothing that is trained.
    const rowAt = (place: number) => {
      const row = training.rowAt(place);
      return row === undefined || training.run.token(row) >= 0 ? undefined : row;
    };
    if (head === undefined || heads.sampler === undefined) {
      const seed = { value: results.maskLogits ?? "", gradients };
      differentiate(forward, training.run, seed, { isTrainable, rowAt, sums });
      return;
    }
    const { operations, logits } = heads.sampler;
    const seed = { value: logits, gradients };
    const ofHidden = differentiate(operations, head, seed, { isTrainable, input: HEAD_INPUT, sums });
    const hidden = new Map(rows.map(({ row, headRow }) => [row, ofHidden.get(headRow) ?? new Float64Array()]));
    differentiate(forward, training.run, { value: results.hidden, gradients: hidden }, { isTrainable, rowAt, sums });
  }
}

/** Weights of rows in order, before they are divided by their sum. */
function weightsOf(rows: readonly MaskRow[], { depthWeights, firstMiss }: LossSettings): number[] {
  let isKept = true;
  return rows.map(({ depth, targetRank }) => {
    if (depth === 1) isKept = true;
    const weight = firstMiss && !isKept ? 0 : (depthWeights[depth - 1] ?? 0);
    isKept &&= targetRank === 0;
    return weight;
  });
}

/** Rank of index `at` in the order of logits, the lower index first among equals; the number of logits if it is −1. */
function rankOf(logits: Floats, at: number): number {
  if (at < 0) return logits.length;
  const logit = logits[at] as number;
  return logits.reduce((rank, other, i) => rank + (other > logit || (other === logit && i < at) ? 1 : 0), 0);
}
