import type { AdamWTensor, AdamWUpdate } from "./adamw.ts";

/** The trainable parameters of a program. One call at a time. */
export interface TrainedModel {
  /** Replaces trainable parameters, by id. The values must not change until it resolves. */
  replaceParameters(values: ReadonlyMap<string, Float32Array>): Promise<void>;
  /**
   * One step of AdamW: updates values and moments in place, and the model's parameters. Nothing may be read or changed
   * until it resolves. In float32 or better; the bits do not depend on threads.
   */
  update(tensors: ReadonlyMap<string, AdamWTensor>, update: AdamWUpdate): Promise<void>;
  dispose(): void;
}
