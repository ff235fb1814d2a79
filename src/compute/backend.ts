import type { FullModel } from "./gradients/full-step.ts";
import type { GatedModel } from "./gradients/gated-step.ts";
import type { LoadedModel } from "./loaded-model.ts";
import type { Program } from "./program/program.ts";

/** Increased whenever the bits of any result change. */
export const NUMERICS = 2;

/** Most compute threads of a backend: more than any supported machine has, so that a typing error is noticed. */
export const MAX_THREADS = 256;

export interface BackendInfo {
  readonly name: "native" | "reference";
  /** As in IDLM_ISA; "typescript": the reference. */
  readonly instructionSet: "avx512vnni" | "avx2" | "scalar" | "typescript";
  readonly threads: number;
  readonly numerics: number;
}

export interface ProgramLoadOptions {
  /**
   * A loaded model of the same backend and base. The base's parameters are not read or packed again, except for rows of
   * a different draft vocabulary. Either model may be disposed of first.
   */
  readonly shareWith?: LoadedModel;
  /** Keeps all values of a forward for `RowResults.value`: more memory, no fused operations, the same bits. */
  readonly keepValues?: boolean;
}

/** Loads and executes programs. A loaded model owns its weights. */
export interface Backend {
  readonly info: BackendInfo;
  /** Packs the parameters. Views of files are not used after it resolves. */
  load(program: Program, options?: ProgramLoadOptions): Promise<LoadedModel>;
  /** Prepares a program with MASK rows for training of its adapter. */
  loadGated(program: Program): Promise<GatedModel>;
  /** Prepares a program of float weights, without an adapter, for training of all weights. */
  loadFull(program: Program): Promise<FullModel>;
}
