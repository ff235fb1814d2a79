import {
  type AdamWMoments,
  type AdamWTensor,
  adamWDefaults,
  clippingFactor,
  newMoments,
} from "../compute/gradients/adamw.ts";
import type { TrainedModel } from "../compute/gradients/trained-model.ts";
import { IdlmError } from "../errors.ts";
import { type TensorToWrite, tensorOf } from "../formats/safetensors/safetensors-writer.ts";
import type { TrainedValues } from "./training-loop.ts";

/** The trained parameters of a run with the moments of AdamW. */
export class OptimiserState {
  readonly values: TrainedValues;
  readonly #moments: ReadonlyMap<string, AdamWMoments>;

  constructor(values: TrainedValues) {
    this.values = values;
    this.#moments = new Map([...values].map(([id, { length }]) => [id, newMoments(length)]));
  }

  /** Step `step` of AdamW, from 1, with the gradients clipped to a norm of 1. @throws IdlmError "diverged", without a change. */
  async update(
    model: TrainedModel,
    {
      gradients,
      gradientNorm: norm,
    }: { readonly gradients: ReadonlyMap<string, Float32Array>; readonly gradientNorm: number },
    step: number,
    { learningRate, weightDecayOf }: { readonly learningRate: number; readonly weightDecayOf: (id: string) => number },
  ): Promise<void> {
    if (!Number.isFinite(norm)) {
      const hint = "Lower the learning rate, or begin from another seed; earlier checkpoints are kept.";
      throw new IdlmError("diverged", { step, what: "the gradient", hint });
    }
    const tensors = new Map<string, AdamWTensor>();
    for (const [id, values] of this.values) {
      const gradient = gradients.get(id);
      const moments = this.#moments.get(id);
      if (gradient === undefined || moments === undefined) continue;
      tensors.set(id, { values, gradient, ...moments, weightDecay: weightDecayOf(id) });
    }
    await model.update(tensors, { ...adamWDefaults, learningRate, factor: clippingFactor(norm), step });
  }

  /** Views of the state. */
  tensors(): Map<string, TensorToWrite> {
    const tensors = new Map<string, TensorToWrite>();
    for (const [id, values] of this.values) {
      const { first, second } = this.#moments.get(id) ?? newMoments(0);
      tensors.set(`value.${id}`, tensorOf(values));
      tensors.set(`first_moment.${id}`, tensorOf(first));
      tensors.set(`second_moment.${id}`, tensorOf(second));
    }
    return tensors;
  }

  /** Reads `tensors()` in place. Calls `wrong` with the name of a tensor that does not fit. */
  restore(tensors: ReadonlyMap<string, TensorToWrite>, wrong: (name: string) => never): void {
    for (const [id, values] of this.values) {
      const { first, second } = this.#moments.get(id) ?? newMoments(0);
      readTensor(tensors, `value.${id}`, values, wrong);
      readTensor(tensors, `first_moment.${id}`, first, wrong);
      readTensor(tensors, `second_moment.${id}`, second, wrong);
    }
  }
}

/** Copies a tensor of a checkpoint, or calls `wrong` with its name. */
export function readTensor(
  tensors: ReadonlyMap<string, TensorToWrite>,
  name: string,
  into: Float32Array | Int32Array,
  wrong: (name: string) => never,
): void {
  const { type, bytes } = tensors.get(name) ?? {};
  if (type !== (into instanceof Float32Array ? "F32" : "I32") || bytes?.length !== into.byteLength) wrong(name);
  else new Uint8Array(into.buffer, into.byteOffset, into.byteLength).set(bytes);
}
