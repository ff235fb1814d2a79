import { IdlmError, key, phrase } from "../../errors.ts";
import { setFileMapper } from "../../formats/files/map-file.ts";
import { type Backend, type BackendInfo, MAX_THREADS, NUMERICS, type ProgramLoadOptions } from "../backend.ts";
import type { GatedModel } from "../gradients/gated-step.ts";
import { trainableProgram } from "../gradients/trainable-program.ts";
import { maskRowsOf } from "../gradients/training-forests.ts";
import type { Program } from "../program/program.ts";
import { validateProgram } from "../program/validate-program.ts";
import { type NativeBackendHandle, type NativeModel, type NativeTrainer, nativeBinding } from "./binding.ts";
import { defaultThreads } from "./cpu-limit.ts";
import { NativeFullModel } from "./full-model.ts";
import { NativeGatedModel } from "./gated-model.ts";
import { NativeLoadedModel } from "./loaded-model.ts";

export type InstructionSet = "avx512vnni" | "avx2" | "scalar";

export interface NativeOptions {
  /** Compute threads; default: one per core, at most 16, and at most what the CPU quota of a container allows. */
  readonly threads?: number;
  /** Default: IDLM_ISA, else the best that the CPU runs. */
  readonly instructionSet?: InstructionSet;
}

export interface NativeGatedOptions {
  /**
   * Products with frozen quantised weights in the backward: "integer" (default) by integer kernels, weights and gradients
   * with 8 bits; "float" in float32, slowly.
   */
  readonly backward?: "integer" | "float";
  /**
   * Size of the cache of clean rows between steps; the least recently used sequences are evicted first, and those of one
   * batch always fit. Default: 2 GiB, sequences of some ten thousand tokens of a small model.
   */
  readonly cacheBytes?: number;
}

/** The native backend: C++17 kernels behind Node-API. */
export interface NativeBackend extends Backend {
  loadGated(program: Program, options?: NativeGatedOptions): Promise<GatedModel>;
  /** Read bandwidth of this machine's memory with all threads, in GB/s. */
  measureBandwidth(bytes: number, rounds?: number): Promise<number>;
  /** 8-bit products per second of all threads out of registers, by the instructions that the kernels use: a bound. */
  measureArithmetic(rounds?: number): Promise<number>;
}

/** Instruction sets that this CPU runs, best first. @throws IdlmError "backend" where the addon is missing. */
export function supportedInstructionSets(): InstructionSet[] {
  return nativeBinding().isas() as InstructionSet[];
}

/**
 * Starts a native backend with its own threads.
 * @throws IdlmError "backend" where the addon is missing or the CPU lacks the instruction set; "usage" for bad threads.
 */
export function createNativeBackend(options: NativeOptions = {}): NativeBackend {
  const binding = nativeBinding();
  setFileMapper(binding);
  const supported = supportedInstructionSets();
  const requested = options.instructionSet ?? (process.env.IDLM_ISA || undefined);
  const instructionSet = supported.find((name) => requested === undefined || name === requested);
  if (instructionSet === undefined) {
    throw new IdlmError("backend", {
      backend: "native",
      reason: `the instruction set ${requested} is not available`,
      hint: `This CPU runs ${supported.join(", ")}; set IDLM_ISA to one of them.`,
    });
  }
  const threads = options.threads ?? defaultThreads();
  if (!Number.isInteger(threads) || threads < 1 || threads > MAX_THREADS) {
    const problem = phrase`${key("threads")}: expected a whole number from 1 to ${MAX_THREADS}, found ${threads}`;
    throw new IdlmError("usage", { problem, hint: "Leave it out for one per core." });
  }
  const handle: NativeBackendHandle = new binding.Backend(threads, instructionSet);
  const info: BackendInfo = { name: "native", instructionSet, threads, numerics: NUMERICS };
  return {
    info,
    load: async (program: Program, options: ProgramLoadOptions = {}) => {
      checkTypes(program);
      return new NativeLoadedModel(program, await packed(handle, program, options));
    },
    loadGated: async (program: Program, options: NativeGatedOptions = {}) => {
      maskRowsOf(program);
      checkTypes(program);
      return new NativeGatedModel(program, await loadGated(handle, program, options));
    },
    loadFull: async (program: Program) => {
      const own = trainableProgram(program);
      validateProgram(own);
      return new NativeFullModel(own, await loading(() => handle.loadFull(own)));
    },
    measureBandwidth: (bytes, rounds = 5) => handle.bandwidth(bytes, rounds),
    measureArithmetic: (rounds = 20) => handle.arithmetic(rounds),
  };
}

function checkTypes(program: Program): void {
  const { weightTypes } = nativeBinding();
  for (const [path, { type, origin }] of Object.entries(program.parameters)) {
    if (origin === "adapter" || weightTypes.includes(type)) continue;
    throw new IdlmError("unsupported", {
      path,
      feature: `the type ${type} in the native backend`,
      hint: phrase`It takes ${weightTypes.join(", ")}; ${key("backend")} reference reads all, slowly.`,
    });
  }
}

async function packed(
  handle: NativeBackendHandle,
  program: Program,
  { shareWith, keepValues = false }: ProgramLoadOptions,
): Promise<NativeModel> {
  if (shareWith !== undefined && !(shareWith instanceof NativeLoadedModel)) {
    throw new TypeError("the model to share with is another backend's");
  }
  return loading(() => {
    validateProgram(program, shareWith?.program);
    return handle.load(program, shareWith?.handle, keepValues);
  });
}

function loadGated(
  handle: NativeBackendHandle,
  program: Program,
  { backward, cacheBytes = 2 * 2 ** 30 }: NativeGatedOptions,
): Promise<NativeTrainer> {
  return loading(() => {
    validateProgram(program);
    return handle.loadGated(program, cacheBytes, backward === "float");
  });
}

async function loading<T>(load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (error) {
    if (error instanceof IdlmError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new IdlmError("backend", { backend: "native", reason, hint: "The model's weights cannot be used." }, error);
  }
}
