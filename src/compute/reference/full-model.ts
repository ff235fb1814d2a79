import { IdlmError } from "../../errors.ts";
import type { FullBatch, FullModel, FullStep } from "../gradients/full-step.ts";
import { crossEntropy } from "../gradients/row-losses.ts";
import { checkFullBatch, checkFullProgram, fullForest, type TargetRow } from "../gradients/training-forests.ts";
import type { Program } from "../program/program.ts";
import { validateProgram } from "../program/validate-program.ts";
import { differentiate, ParameterGradients, runForest } from "./gradient-runs.ts";
import { type Parameters, readParameters, replaceIn } from "./runs.ts";

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
    const { noisyRows, cleanRows, ...training } = fullForest(batch);
    const { run, rowOf, rowAt } = runForest(this.#program, this.#parameters, training);
    const { logits } = this.#program.results;
    const lossesOf = (rows: readonly TargetRow[]) =>
      rows.map(({ row, position }) => {
        const logitsRow = rowOf(row);
        const loss = crossEntropy(run.read(logits, logitsRow), batch.tokens[position + 1] as number);
        if (!Number.isFinite(loss.loss)) throw new IdlmError("not-finite", { position });
        return { ...loss, row: logitsRow };
      });
    const noisy = lossesOf(noisyRows);
    const clean = lossesOf(cleanRows);
    const mean = (rows: typeof noisy) => rows.reduce((sum, { loss }) => sum + loss, 0) / rows.length;
    const noisyLoss = mean(noisy);
    const cleanLoss = mean(clean);
    const alpha = batch.alpha === "auto" ? noisyLoss / cleanLoss : batch.alpha;
    const sums = new ParameterGradients(this.#parameters);
    if (wantsGradients) {
      const seedsOf = (rows: typeof noisy, factor: number) =>
        rows.map(({ row, gradient }) => [row, gradient.map((g) => (g * factor) / rows.length)] as const);
      const gradients = new Map([...seedsOf(noisy, 1), ...seedsOf(clean, alpha)]);
      const isTrainable = (id: string) => this.#parameters.matrices.has(id);
      differentiate(this.#program.forward, run, { value: logits, gradients }, { isTrainable, rowAt, sums });
    }
    return {
      loss: noisyLoss + alpha * cleanLoss,
      noisyLoss,
      cleanLoss,
      gradients: wantsGradients ? sums.finish(this.#parameters.matrices.keys()) : new Map(),
    };
  }

  async replaceParameters(values: ReadonlyMap<string, Float32Array>): Promise<void> {
    replaceIn(this.#parameters, values);
  }

  dispose(): void {
    this.#parameters.matrices.clear();
  }
}
