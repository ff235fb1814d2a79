import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { IdlmError, key, phrase } from "../../errors.ts";
import type { Trial } from "../sampling/draw.ts";
import type { SamplerSettings } from "../sampling/settings.ts";
import type { NativeProgram } from "./native-program.ts";

/** The native addon as JavaScript sees it (native/src/addon). Every method throws an Error with a plain message. */
export interface NativeBinding {
  readonly Backend: new (threads: number, isa: string) => NativeBackendHandle;
  readonly Sampler: new (
    settings: SamplerSettings & { readonly biasTokens: Int32Array; readonly biasValues: Float32Array },
  ) => NativeSampler;
  /** Instruction sets that were built and that this CPU runs, best first. */
  isas(): string[];
  /** Maps a file read-only. */
  mapFile(path: string): ArrayBuffer;
  /** Detaches the buffer, then unmaps. */
  unmapFile(buffer: ArrayBuffer): void;
  /** exp (0), log (1) or silu (2) of 16·n floats by one instruction set's kernels; for tests. */
  math(isa: string, which: number, x: Float32Array): Float32Array;
  /** All scores with the noise of their tokens, the index of the best, and index and score of those from `least` on; for tests. */
  noisy(
    isa: string,
    scores: Float32Array,
    ids: Int32Array | undefined,
    word: number,
    key: number,
    least: number,
  ): { readonly all: Float32Array; readonly best: number; readonly from: readonly (readonly [number, number])[] };
  /** The token that is drawn from any logits, −1 for none; for tests. */
  drawFrom(
    isa: string,
    sampler: NativeSampler,
    logits: Float32Array,
    position: number,
    allowed?: Uint32Array | undefined,
  ): number;
  /** A stored matrix packed into panels and read from them again, [rows, cols]; for tests. */
  repacked(type: string, rows: number, cols: number, bytes: Uint8Array): Float32Array;
}

export interface NativeBackendHandle {
  /** Packs the weights on the pool's threads, off the event loop. */
  load(program: NativeProgram): Promise<NativeModel>;
  /** Read bandwidth in GB/s: all threads read `bytes` of memory, the best of `rounds`. */
  bandwidth(bytes: number, rounds: number): Promise<number>;
}

export interface NativeCache {
  readonly nPages: number;
  dispose(): void;
}

export interface NativeSampler {
  prompt(tokens: Int32Array): void;
  accept(token: number): void;
}

/** Proposals as numbers, for each: [tokens, tokens of its distribution or -1, ids of both], and their shares. */
export type PackedProposals = readonly [numbers: Int32Array, shares: Float32Array];

/** Token and status of each draw (0: drawn, 1: a logit is not finite, 2: no token is allowed), lookaheads, log-probabilities. */
export type NativeResults = readonly [
  drawn: Int32Array,
  /**
   * For each: the number of nodes, the anchor's row of its run or heads, the token drawn there; for each node
   * the node and the rank that it follows, and its proposals as PackedProposals. */
  lookaheads: Int32Array | undefined,
  lookaheadShares: Float32Array | undefined,
  logprobs: readonly (NativeLogprobs | undefined)[] | undefined,
];

export interface NativeLogprobs {
  readonly logprob: number;
  readonly topTokens: Int32Array;
  readonly topLogprobs: Float32Array;
}

export interface NativeModel {
  readonly weightBytes: number;
  createCache(nPages: number): NativeCache;
  /** Runs a layout (ForestLayout.data) with requests (requests.ts) on a worker thread. */
  forward(
    layout: Int32Array,
    cache: NativeCache,
    requests: Float64Array,
    samplers: readonly NativeSampler[],
    allowed: readonly Uint32Array[] | undefined,
    trials: readonly Trial[] | undefined,
  ): Promise<NativeResults>;
  hidden(row: number): Float32Array;
  logits(row: number): Float32Array;
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

let loaded: NativeBinding | undefined;

/** The package's root: the nearest folder above this file (in src/ or dist/) that holds package.json. */
function packageRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "package.json")) && dirname(folder) !== folder) folder = dirname(folder);
  return folder;
}

/** Loads the addon once. IDLM_NATIVE_ADDON names another file. @throws IdlmError "backend" where it is missing. */
export function nativeBinding(): NativeBinding {
  if (loaded) return loaded;
  const path = process.env.IDLM_NATIVE_ADDON ?? join(packageRoot(), "build", "Release", "idlm_native.node");
  if (!existsSync(path)) {
    throw new IdlmError("backend", {
      backend: "native",
      reason: `${path} was not built`,
      hint: phrase`Run \`npm run install\` with a C++ compiler installed, or use ${key("backend")} reference.`,
    });
  }
  try {
    loaded = createRequire(import.meta.url)(path) as NativeBinding;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new IdlmError(
      "backend",
      { backend: "native", reason, hint: "Run `npm run install` to build it again." },
      error,
    );
  }
  return loaded;
}
