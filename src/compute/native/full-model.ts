import type { FullBatch, FullModel, FullStep } from "../gradients/full-step.ts";
import { checkFullBatch, fullForest } from "../gradients/training-forests.ts";
import { NativeTrainedModel } from "./trained-model.ts";

/** Full training in the addon. */
export class NativeFullModel extends NativeTrainedModel implements FullModel {
  async step(batch: FullBatch, wantsGradients: boolean): Promise<FullStep> {
    checkFullBatch(batch, this.program);
    const sequences = batch.sequences.map((sequence) => {
      const { forest, nClean, noisyRows, cleanRows } = fullForest(sequence, batch.noise);
      const { tokens, positions, parents } = forest;
      const rows = [...noisyRows, ...cleanRows];
      const targetRows = Int32Array.from(rows, ({ row }) => row);
      const targets = Int32Array.from(rows, ({ target }) => target);
      return { tokens, positions, parents, targetRows, targets, nClean, nNoisy: noisyRows.length };
    });
    const isAuto = batch.alpha === "auto";
    const own = { sequences, alpha: batch.alpha === "auto" ? 0 : batch.alpha, isAuto, wantsGradients };
    const result = await this.run(() => this.handle.fullStep(own, [...this.gradients.values()]));
    return this.finish(result, wantsGradients);
  }
}
