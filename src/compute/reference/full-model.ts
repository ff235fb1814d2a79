import { IdlmError } from "../../errors.ts";
import { type AdamWTensor, type AdamWUpdate, adamWUpdate, gradientNorm } from "../gradients/adamw.ts";
import type { FullBatch, FullModel, FullNoise, FullSequence, FullStep } from "../gradients/full-step.ts";
import { crossEntropy, type LossOfRow } from "../gradients/row-losses.ts";
import { checkFullBatch, checkFullProgram, type FullTargetRow, fullForest } from "../gradients/training-forests.ts";
import type { Program } from "../program/program.ts";
import { validateProgram } from "../program/validate-program.ts";
import { differentiate, ParameterGradients, runForest, type TrainingRun } from "./gradient-runs.ts";
import { type Parameters, readParameters, replaceIn } from "./runs.ts";

interface LossOfTarget extends LossOfRow {
  /** Of the run. */
  readonly row: number;
  readonly rank: number;
}

interface ForwardOfSequence extends Pick<TrainingRun, "run" | "rowAt"> {
  readonly noisy: readonly LossOfTarget[];
  readonly clean: readonly LossOfTarget[];
}

/** Full training by the reference backend. */
export class ReferenceFullModel implements FullModel {
  readonly #program: Program;
  readonly #parameters: Parameters;

  constructor(program: Program) {
    validateProgram(program);
    checkFullProgram(program);
    this.#program = program;
    this.#parameters = readParameters(program);
  }

  async step(batch: FullBatch, wantsGradients: boolean): Promise<FullStep> {
    checkFullBatch(batch, this.#program);
    await new Promise((resolve) => setImmediate(resolve));
    const runs = batch.sequences.map((sequence) => this.#forward(sequence, batch.noise));
    const mean = (losses: readonly LossOfTarget[]) =>
      losses.length === 0 ? 0 : losses.reduce((sum, { loss }) => sum + loss, 0) / losses.length;
    const noisy = runs.flatMap((run) => run.noisy);
    const clean = runs.flatMap((run) => run.clean);
    const [noisyLoss, cleanLoss] = [mean(noisy), mean(clean)];
    const alpha = batch.alpha === "auto" ? noisyLoss / cleanLoss : batch.alpha;
    const gradients = wantsGradients ? this.#gradients(runs, 1 / noisy.length, alpha / clean.length) : new Map();
    const all = runs.flatMap((run) => [...run.noisy, ...run.clean]);
    return {
      loss: noisyLoss + alpha * cleanLoss,
      ...{ noisyLoss, cleanLoss, gradients, gradientNorm: gradientNorm(gradients.values()) },
      rowLosses: Float32Array.from(all, ({ loss }) => loss),
      ranks: Int32Array.from(all, ({ rank }) => rank),
    };
  }

  #forward(sequence: FullSequence, noise: FullNoise | undefined): ForwardOfSequence {
    const { noisyRows, cleanRows, ...training } = fullForest(sequence, noise);
    const { run, rowOf, rowAt } = runForest(this.#program, this.#parameters, training);
    const lossesOf = (rows: readonly FullTargetRow[]) =>
      rows.map(({ row, position, target }): LossOfTarget => {
        const logits = run.read(this.#program.results.logits, rowOf(row));
        const loss = crossEntropy(logits, target);
        if (!Number.isFinite(loss.loss)) throw new IdlmError("not-finite", { position });
        const own = logits[target] as number;
        const rank = logits.reduce((n, other, i) => n + (other > own || (other === own && i < target) ? 1 : 0), 0);
        return { ...loss, row: rowOf(row), rank };
      });
    return { run, rowAt, noisy: lossesOf(noisyRows), clean: lossesOf(cleanRows) };
  }

  #gradients(
    runs: readonly ForwardOfSequence[],
    noisyFactor: number,
    cleanFactor: number,
  ): ReadonlyMap<string, Float32Array> {
    const sums = new ParameterGradients(this.#parameters);
    const isTrainable = (id: string) => this.#parameters.matrices.has(id);
    for (const { run, rowAt, noisy, clean } of runs) {
      const seedsOf = (rows: readonly LossOfTarget[], factor: number) =>
        rows.map(({ row, gradient }) => [row, gradient.map((g) => g * factor)] as const);
      const gradients = new Map([...seedsOf(noisy, noisyFactor), ...seedsOf(clean, cleanFactor)]);
      const seed = { value: this.#program.results.logits, gradients };
      differentiate(this.#program.forward, run, seed, { isTrainable, rowAt, sums });
    }
    return sums.finish(this.#parameters.matrices.keys());
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
}
