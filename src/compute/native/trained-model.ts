import { IdlmError } from "../../errors.ts";
import type { AdamWTensor, AdamWUpdate } from "../gradients/adamw.ts";
import type { TrainedModel } from "../gradients/trained-model.ts";
import type { Program } from "../program/program.ts";
import { checkReplacements } from "../program/validate-program.ts";
import type { NativeTrainer } from "./binding.ts";

/** The trainable parameters of a program in the addon. */
export class NativeTrainedModel implements TrainedModel {
  protected readonly program: Program;
  protected readonly handle: NativeTrainer;
  /** Written by each step that computes gradients, in the addon's order. */
  protected readonly gradients: ReadonlyMap<string, Float32Array>;

  constructor(program: Program, handle: NativeTrainer) {
    this.program = program;
    this.handle = handle;
    const sizeOf = (id: string) => {
      const { rows, cols } = program.parameters[id] ?? { rows: 0, cols: 0 };
      return rows * cols;
    };
    this.gradients = new Map(handle.trainable.map((id) => [id, new Float32Array(sizeOf(id))]));
  }

  async replaceParameters(values: ReadonlyMap<string, Float32Array>): Promise<void> {
    checkReplacements(this.program, values);
    await this.run(() => this.handle.replaceParameters([...values.keys()], [...values.values()]));
  }

  async update(
    tensors: ReadonlyMap<string, AdamWTensor>,
    { step, beta1, beta2, ...settings }: AdamWUpdate,
  ): Promise<void> {
    const list = [...tensors].map(([id, tensor]) => ({ id, ...tensor }));
    const corrections = { firstCorrection: 1 - beta1 ** step, secondCorrection: 1 - beta2 ** step };
    await this.run(() => this.handle.update(list, { ...settings, beta1, beta2, ...corrections }));
  }

  /** What a step of the addon returned, with the gradients if they were requested. */
  protected finish<T extends object>(
    { notFinite, ...step }: T & { readonly notFinite: number },
    wantsGradients: boolean,
  ): Omit<T & { readonly notFinite: number }, "notFinite"> & { readonly gradients: ReadonlyMap<string, Float32Array> } {
    if (notFinite >= 0) throw new IdlmError("not-finite", { position: notFinite });
    return { ...step, gradients: wantsGradients ? this.gradients : new Map() };
  }

  protected async run<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      const hint = "If memory is short, train on fewer rows at a time.";
      throw new IdlmError("backend", { backend: "native", reason, hint }, error);
    }
  }

  dispose(): void {
    this.handle.dispose();
  }
}
