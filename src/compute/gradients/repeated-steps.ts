import { type AdamWMoments, type AdamWSettings, adamWStep, clippingFactor, gradientNorm, newMoments } from "./adamw.ts";

/** A trained tensor; its shape determines whether weight decay applies. */
export interface TrainedTensor {
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

/** One step's loss and gradients, by parameter id. */
export interface StepResult {
  readonly loss: number;
  readonly gradients: ReadonlyMap<string, Float32Array>;
}

export interface RepeatedSteps {
  /** Before each step, and after the last. */
  readonly losses: readonly number[];
  /** Before clipping, of each step. */
  readonly gradientNorms: readonly number[];
  /** Of the first step, before clipping. */
  readonly gradients: ReadonlyMap<string, Float32Array>;
}

/**
 * Steps of AdamW on one batch, with gradients clipped to a norm of 1 and weight decay on tensors of two dimensions, for
 * comparison with other trainers. Updates the tensors in place.
 */
export async function repeatSteps(
  model: {
    step(wantsGradients: boolean): Promise<StepResult>;
    replaceParameters(values: ReadonlyMap<string, Float32Array>): Promise<void>;
  },
  tensors: ReadonlyMap<string, TrainedTensor>,
  { nSteps, weightDecay, ...adamW }: AdamWSettings & { readonly nSteps: number; readonly weightDecay: number },
): Promise<RepeatedSteps> {
  const moments = new Map<string, AdamWMoments>();
  const losses: number[] = [];
  const gradientNorms: number[] = [];
  let first: RepeatedSteps["gradients"] = new Map();
  for (let step = 1; step <= nSteps; step++) {
    const { loss, gradients } = await model.step(true);
    if (step === 1) first = new Map([...gradients].map(([id, gradient]) => [id, gradient.slice()]));
    const norm = gradientNorm(gradients.values());
    losses.push(loss);
    gradientNorms.push(norm);
    for (const [id, { shape, values }] of tensors) {
      const ownMoments = moments.get(id) ?? newMoments(values.length);
      moments.set(id, ownMoments);
      const decay = shape.length === 2 ? weightDecay : 0;
      const settings = { ...adamW, weightDecay: decay, factor: clippingFactor(norm) };
      adamWStep(values, gradients.get(id) ?? new Float32Array(values.length), ownMoments, step, settings);
    }
    await model.replaceParameters(new Map([...tensors].map(([id, { values }]) => [id, values])));
  }
  losses.push((await model.step(false)).loss);
  return { losses, gradientNorms, gradients: first };
}
