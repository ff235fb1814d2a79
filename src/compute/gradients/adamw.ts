/** AdamW (arXiv 1711.05101): decoupled weight decay; ε outside the square root, after bias correction. */
export interface AdamWSettings {
  readonly learningRate: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
}

/** Running means of a tensor's gradient and of its square. */
export interface AdamWMoments {
  readonly first: Float32Array;
  readonly second: Float32Array;
}

export const adamWDefaults = { beta1: 0.9, beta2: 0.95, epsilon: 1e-8 } as const;

export function newMoments(length: number): AdamWMoments {
  return { first: new Float32Array(length), second: new Float32Array(length) };
}

/** Euclidean norm over all tensors together. */
export function gradientNorm(gradients: Iterable<Float32Array>): number {
  let sum = 0;
  for (const gradient of gradients) for (const g of gradient) sum += g * g;
  return Math.sqrt(sum);
}

/** Factor by which gradients are multiplied to limit their norm to 1. */
export function clippingFactor(norm: number): number {
  return Math.min(1, 1 / (norm + 1e-6));
}

/** A trainable parameter with its gradient and the state of AdamW, all of one length. */
export interface AdamWTensor extends AdamWMoments {
  readonly values: Float32Array;
  readonly gradient: Float32Array;
  readonly weightDecay: number;
}

/** A step of AdamW. */
export interface AdamWUpdate extends AdamWSettings {
  /** From 1. */
  readonly step: number;
  /** Multiplies the gradients first. */
  readonly factor: number;
}

/** Updates all tensors and their moments in place; returns their values. */
export function adamWUpdate(
  tensors: ReadonlyMap<string, AdamWTensor>,
  { step, factor, ...settings }: AdamWUpdate,
): ReadonlyMap<string, Float32Array> {
  for (const { values, gradient, weightDecay, ...moments } of tensors.values()) {
    adamWStep(values, gradient, moments, step, { ...settings, weightDecay, factor });
  }
  return new Map([...tensors].map(([id, { values }]) => [id, values]));
}

/** Updates a tensor and its moments in place; `step` counts from 1. The gradient is multiplied by `factor` first. */
export function adamWStep(
  values: Float32Array,
  gradient: Float32Array,
  { first, second }: AdamWMoments,
  step: number,
  settings: AdamWSettings & { readonly weightDecay: number; readonly factor: number },
): void {
  const { learningRate, beta1, beta2, epsilon, weightDecay, factor } = settings;
  const firstCorrection = 1 - beta1 ** step;
  const secondCorrection = 1 - beta2 ** step;
  for (let i = 0; i < values.length; i++) {
    const g = (gradient[i] as number) * factor;
    const m = beta1 * (first[i] as number) + (1 - beta1) * g;
    const v = beta2 * (second[i] as number) + (1 - beta2) * g * g;
    first[i] = m;
    second[i] = v;
    const change = m / firstCorrection / (Math.sqrt(v / secondCorrection) + epsilon);
    values[i] = (values[i] as number) * (1 - learningRate * weightDecay) - learningRate * change;
  }
}
