import type { FullModel } from "./gradients/full-step.ts";
import type { GatedModel } from "./gradients/gated-step.ts";
import type { LoadedModel } from "./loaded-model.ts";
import type { Program } from "./program/program.ts";

/** Raised whenever the bits of any result change. */
export const NUMERICS = 2;

/** Most compute threads of a backend: more than any supported machine has, a bound against typing errors. */
export const MAX_THREADS = 256;

export interface BackendInfo {
  readonly name: "native" | "reference";
  /** As in IDLM_ISA; "typescript" for the reference. */
  readonly instructionSet: "avx512vnni" | "avx2" | "scalar" | "typescript";
  readonly threads: number;
  readonly numerics: number;
}

export interface ProgramLoadOptions {
  /**
   * A model of the same backend and base: the base's parameters are not packed again, and their bytes are not read, but for
   * the rows of a draft vocabulary that differs from that model's. Either may be disposed of first.
   */
  readonly shareWith?: LoadedModel;
  /** Keeps every value of a forward for `RowResults.value`: more memory, no operations that are fused. Same bits. */
  readonly keepValues?: boolean;
}

/** Executes programs. Owns no model; each loaded model owns its weights. */
export interface Backend {
  readonly info: BackendInfo;
  /** Packs the parameters; after it resolves no view of a file is used any more. */
  load(program: Program, options?: ProgramLoadOptions): Promise<LoadedModel>;
  /** Prepares a program with MASK rows for training of its adapter. */
  loadGated(program: Program): Promise<GatedModel>;
  /**
   * Prepares a program without adapter, of float weights, for training of all its weights. Absent where a backend does
   * not compute their gradients.
   */
  loadFull?(program: Program): Promise<FullModel>;
}
