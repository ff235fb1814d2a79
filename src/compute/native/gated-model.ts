import type { GatedBatch, GatedModel, GatedStep, LossSettings } from "../gradients/gated-step.ts";
import { checkGatedBatch } from "../gradients/training-forests.ts";
import { NativeTrainedModel } from "./trained-model.ts";

/** Gated training in the addon. */
export class NativeGatedModel extends NativeTrainedModel implements GatedModel {
  async step(batch: GatedBatch, loss: LossSettings, wantsGradients: boolean): Promise<GatedStep> {
    checkGatedBatch(batch, this.program);
    const { kl = 0, tv = 0, log_overlap: logOverlap = 0 } = loss.mixture;
    const depthWeights = Float32Array.from({ length: batch.nMasks }, (_, i) => loss.depthWeights[i] ?? 0);
    const { sequences, nMasks } = batch;
    const { firstMiss } = loss;
    const own = { sequences, nMasks, kl, tv, logOverlap, depthWeights, firstMiss, wantsGradients };
    const result = await this.run(() => this.handle.gatedStep(own, [...this.gradients.values()]));
    return this.finish(result, wantsGradients);
  }
}
