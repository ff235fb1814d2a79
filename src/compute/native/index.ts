import { availableParallelism } from "node:os";
import { IdlmError } from "../../errors.ts";
import { setFileMapper } from "../../formats/map-file.ts";
import { type Backend, type BackendInfo, NUMERICS } from "../backend.ts";
import type { Program } from "../program.ts";
import { type NativeBackendHandle, nativeBinding } from "./binding.ts";
import { NativeLoadedModel } from "./loaded-model.ts";

export type InstructionSet = "avx512vnni" | "avx2" | "scalar";

export interface NativeOptions {
  /** Compute threads; default: one per core, at most 16. */
  readonly threads?: number;
  /** Default: IDLM_ISA, else the best that the CPU runs. */
  readonly instructionSet?: InstructionSet;
}

/** The native backend: C++17 kernels behind Node-API. */
export interface NativeBackend extends Backend {
  /** Read bandwidth of this machine's memory with all threads, in GB/s. */
  measureBandwidth(bytes: number, rounds?: number): Promise<number>;
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
  const wanted = options.instructionSet ?? (process.env.IDLM_ISA || undefined);
  const instructionSet = supported.find((name) => wanted === undefined || name === wanted);
  if (instructionSet === undefined) {
    throw new IdlmError("backend", {
      backend: "native",
      reason: `the instruction set ${wanted} is not available`,
      hint: `This CPU runs ${supported.join(", ")}; set IDLM_ISA to one of them.`,
    });
  }
  const threads = options.threads ?? Math.min(availableParallelism(), 16);
  if (!Number.isInteger(threads) || threads < 1 || threads > 256) {
    throw new IdlmError("usage", { problem: `threads: expected 1 to 256, found ${threads}`, hint: "Use --threads N" });
  }
  const handle: NativeBackendHandle = new binding.Backend(threads, instructionSet);
  const info: BackendInfo = { name: "native", instructionSet, threads, numerics: NUMERICS };
  return {
    info,
    load: async (program: Program) => new NativeLoadedModel(program, await handle.load(program)),
    measureBandwidth: (bytes, rounds = 5) => handle.bandwidth(bytes, rounds),
  };
}
