import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { IdlmError, key, phrase } from "../../errors.ts";
import type { Forest } from "../forest/forest.ts";
import type { AdamWTensor, AdamWUpdate } from "../gradients/adamw.ts";
import type { FullStep } from "../gradients/full-step.ts";
import type { GatedBatch, GatedStep } from "../gradients/gated-step.ts";
import type { Program } from "../program/program.ts";
import type { Trial } from "../sampling/draw.ts";
import type { SamplerSettings } from "../sampling/settings.ts";
import { checkConstants } from "./constants.ts";

/** The interface of the native addon (native/src/addon). Every method throws an Error with a plain message. */
export interface NativeBinding {
  readonly Backend: new (threads: number, isa: string) => NativeBackendHandle;
  readonly Sampler: new (
    settings: Omit<SamplerSettings, "logitBias"> & {
      readonly biasTokens: Int32Array;
      readonly biasValues: Float32Array;
    },
  ) => NativeSampler;
  /** Instruction sets that are built and supported by this CPU, best first. */
  isas(): string[];
  /** Maps a file read-only. */
  mapFile(path: string): ArrayBuffer;
  /** Detaches the buffer, then unmaps. */
  unmapFile(buffer: ArrayBuffer): void;
  /** Weight types that the kernels support. */
  readonly weightTypes: readonly string[];
  /** Compared with the values in TypeScript when the addon is loaded. */
  readonly constants: Readonly<Record<string, number>>;
}

export interface NativeBackendHandle {
  /** Packs the weights on the pool's threads, off the event loop. */
  load(program: Program, shareWith: NativeModel | undefined, keepsValues: boolean): Promise<NativeModel>;
  /**
   * Prepares a program for training of its adapter; caches up to about `cacheBytes` of clean rows between steps.
   * `isExact`: as NativeGatedOptions.backward "float".
   */
  loadGated(program: Program, cacheBytes: number, isExact: boolean): Promise<NativeTrainer>;
  loadFull(program: Program): Promise<NativeTrainer>;
  /** Read bandwidth in GB/s: all threads read `bytes` of memory, the best of `rounds`. */
  bandwidth(bytes: number, rounds: number): Promise<number>;
  /** 8-bit products per second out of registers with all threads, the best of `rounds`. */
  arithmetic(rounds: number): Promise<number>;
}

export interface NativeCache {
  readonly nPages: number;
  dispose(): void;
}

export interface NativeSampler {
  prompt(tokens: Int32Array): void;
  accept(token: number): void;
}

export interface PackedProposals {
  /** For each request: number of tokens, size of their distribution or -1, and the ids of both. */
  readonly numbers: Int32Array;
  /** Confidences and probabilities. */
  readonly shares: Float32Array;
}

export interface NativeResults {
  /** Token and status of each draw (0: drawn, 1: a logit is not finite, 2: no token is allowed). */
  readonly drawn: Int32Array;
  readonly logprobs?: readonly (NativeLogprobs | undefined)[];
  /**
   * For each lookahead: number of nodes, row of the anchor's run or heads, token drawn there; for each node its parent
   * and rank, and its proposals.
   */
  readonly lookaheads?: PackedProposals;
}

export interface NativeLogprobs {
  readonly logprob: number;
  readonly topTokens: Int32Array;
  readonly topLogprobs: Float32Array;
}

export interface NativeModel {
  readonly weightBytes: number;
  readonly sharedWeightBytes: number;
  createCache(nPages: number): NativeCache;
  /**
   * Runs a layout (ForestLayout.data) with requests (requests.ts) on a worker thread. With a thread for each core, the last
   * one waits until `eventLoopIsIdle`.
   */
  forward(
    layout: Int32Array,
    cache: NativeCache,
    requests: Float64Array,
    samplers: readonly NativeSampler[],
    allowed: readonly Uint32Array[] | undefined,
    trials: readonly Trial[] | undefined,
  ): Promise<NativeResults>;
  /** Says that the event loop has nothing left to do after `forward`, so that the forward may have its core, too. */
  eventLoopIsIdle(): void;
  hidden(row: number): Float32Array;
  logits(row: number): Float32Array;
  /** A value that is kept; see RowResults.value. */
  value(id: string, row: number): Float32Array;
  /** Packs new values of trainable parameters on the pool's threads, off the event loop; all of them, or none. */
  replaceParameters(ids: readonly string[], values: readonly Float32Array[]): Promise<void>;
  /** `kind`: as in requests.ts; `of`: the token before the predicted one, or the head. */
  draftLogits(kind: number, row: number, of: number): Float32Array;
  /** Answers requests on a worker thread, with all threads of the pool. */
  propose(
    requests: Float64Array,
    samplers: readonly NativeSampler[],
    allowed: readonly Uint32Array[] | undefined,
  ): Promise<PackedProposals>;
  moveKv(
    cache: NativeCache,
    pages: Int32Array | readonly number[],
    from: readonly number[],
    to: readonly number[],
  ): void;
  /** Milliseconds by kind of step of the last forward; the first call switches the measurement on. */
  timings(): Record<string, number>;
  dispose(): void;
}

/** Position of the first row whose loss is not finite; −1: all are. */
interface NotFinite {
  readonly notFinite: number;
}

/** A step runs on the pool's threads, off the event loop, and writes the gradients if requested. */
export interface NativeTrainer {
  /** Ids of the trainable parameters, in the order of their gradients. */
  readonly trainable: readonly string[];
  /** Of a trainer that `loadGated` prepared. */
  gatedStep(
    batch: Pick<GatedBatch, "sequences" | "nMasks"> & {
      readonly kl: number;
      readonly tv: number;
      readonly logOverlap: number;
      readonly depthWeights: Float32Array;
      readonly firstMiss: boolean;
      readonly wantsGradients: boolean;
    },
    gradients: readonly Float32Array[],
  ): Promise<Omit<GatedStep, "gradients"> & NotFinite>;
  /** Of a trainer that `loadFull` prepared. */
  fullStep(
    batch: {
      readonly sequences: readonly NativeFullSequence[];
      readonly alpha: number;
      /** `alpha` is not used. */
      readonly isAuto: boolean;
      readonly wantsGradients: boolean;
    },
    gradients: readonly Float32Array[],
  ): Promise<Omit<FullStep, "gradients"> & NotFinite>;
  replaceParameters(ids: readonly string[], values: readonly Float32Array[]): Promise<void>;
  /** A step of AdamW in place, after which the values are the model's. */
  update(
    tensors: readonly (AdamWTensor & { readonly id: string })[],
    settings: Omit<AdamWUpdate, "step"> & { readonly firstCorrection: number; readonly secondCorrection: number },
  ): Promise<void>;
  dispose(): void;
}

/** Rows of a sequence in full training: clean tokens, then MASK runs. */
interface NativeFullSequence extends Pick<Forest, "tokens" | "positions" | "parents"> {
  readonly nClean: number;
  /** Rows with a target, those of MASKs first, and their targets. */
  readonly targetRows: Int32Array;
  readonly targets: Int32Array;
  readonly nNoisy: number;
}

let loaded: NativeBinding | undefined;

/** The package's root: the nearest folder above this file (in src/ or dist/) that holds package.json. */
function packageRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "package.json")) && dirname(folder) !== folder) folder = dirname(folder);
  return folder;
}

/** IDLM_NATIVE_ADDON, or the addon that `npm run install` builds. */
export function nativeAddonPath(): string {
  return process.env.IDLM_NATIVE_ADDON ?? join(packageRoot(), "build", "Release", "idlm_native.node");
}

/** Loads the addon once. @throws IdlmError "backend" where it is missing, or was built from another version. */
export function nativeBinding(): NativeBinding {
  if (loaded) return loaded;
  const path = nativeAddonPath();
  if (!existsSync(path)) {
    throw new IdlmError("backend", {
      backend: "native",
      reason: `${path} was not built`,
      hint: phrase`Run \`npm run install\` with a C++ compiler installed, or use ${key("backend")} reference.`,
    });
  }
  let binding: NativeBinding;
  try {
    binding = createRequire(import.meta.url)(path) as NativeBinding;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new IdlmError(
      "backend",
      { backend: "native", reason, hint: "Run `npm run install` to build it again." },
      error,
    );
  }
  checkConstants(binding.constants);
  loaded = binding;
  return loaded;
}
