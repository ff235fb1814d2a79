import { IdlmError } from "../../errors.ts";
import type {
  AdamWTensor,
  AdamWUpdate,
  GatedBatch,
  GatedModel,
  GatedStep,
  LossSettings,
} from "../gradients/gated-step.ts";
import { checkGatedBatch } from "../gradients/training-forests.ts";
import type { Program } from "../program/program.ts";
import { checkReplacements } from "../program/validate-program.ts";
import type { NativeGatedTrainer } from "./binding.ts";

/** Gated training in the addon. */
export class NativeGatedModel implements GatedModel {
  readonly #program: Program;
  readonly #handle: NativeGatedTrainer;
  /** Written by each step that computes gradients. */
  readonly #gradients: ReadonlyMap<string, Float32Array>;

  constructor(program: Program, handle: NativeGatedTrainer) {
    this.#program = program;
    this.#handle = handle;
    const sizeOf = (id: string) => {
      const { rows, cols } = program.parameters[id] ?? { rows: 0, cols: 0 };
      return rows * cols;
    };
    this.#gradients = new Map(handle.trainable.map((id) => [id, new Float32Array(sizeOf(id))]));
  }

  async step(batch: GatedBatch, loss: LossSettings, wantsGradients: boolean): Promise<GatedStep> {
    checkGatedBatch(batch, this.#program);
    const { kl = 0, tv = 0, log_overlap: logOverlap = 0 } = loss.mixture;
    const depthWeights = Float32Array.from({ length: batch.nMasks }, (_, i) => loss.depthWeights[i] ?? 0);
    const { sequences, nMasks } = batch;
    const { firstMiss } = loss;
    const result = await this.#run(() =>
      this.#handle.step({ sequences, nMasks, kl, tv, logOverlap, depthWeights, firstMiss, wantsGradients }, [
        ...this.#gradients.values(),
      ]),
    );
    const { notFinite, ...step } = result;
    if (notFinite >= 0) throw new IdlmError("not-finite", { position: notFinite });
    return { ...step, gradients: wantsGradients ? this.#gradients : new Map() };
  }

  async replaceParameters(values: ReadonlyMap<string, Float32Array>): Promise<void> {
    checkReplacements(this.#program, values);
    await this.#run(() => this.#handle.replaceParameters([...values.keys()], [...values.values()]));
  }

  async update(
    tensors: ReadonlyMap<string, AdamWTensor>,
    { step, beta1, beta2, ...settings }: AdamWUpdate,
  ): Promise<void> {
    const list = [...tensors].map(([id, tensor]) => ({ id, ...tensor }));
    const corrections = { firstCorrection: 1 - beta1 ** step, secondCorrection: 1 - beta2 ** step };
    await this.#run(() => this.#handle.update(list, { ...settings, beta1, beta2, ...corrections }));
  }

  async #run<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      const hint = "If memory is short, train on fewer rows at a time.";
      throw new IdlmError("backend", { backend: "native", reason, hint }, error);
    }
  }

  dispose(): void {
    this.#handle.dispose();
  }
}
