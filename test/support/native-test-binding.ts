import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { type NativeBinding, type NativeSampler, nativeAddonPath } from "../../src/compute/native/binding.ts";

/** The addon of native/test: kernels, samplers and the pool for tests. */
interface NativeTestBinding {
  readonly Sampler: NativeBinding["Sampler"];
  /** exp (0), log (1) or silu (2) of 16·n floats by one instruction set's kernels. */
  math(isa: string, which: number, x: Float32Array): Float32Array;
  /** All scores with noise, the index of the best, and index and score of those from `min` on. */
  noisy(
    isa: string,
    scores: Float32Array,
    ids: Int32Array | undefined,
    word: number,
    key: number,
    min: number,
  ): { readonly all: Float32Array; readonly best: number; readonly from: readonly (readonly [number, number])[] };
  /** The drawn token; -1: none. */
  drawFrom(
    isa: string,
    sampler: NativeSampler,
    logits: Float32Array,
    position: number,
    allowed?: Uint32Array | undefined,
  ): number;
  /** A stored matrix after packing into panels and unpacking, [rows, cols]. */
  repacked(type: string, rows: number, cols: number, bytes: Uint8Array): Float32Array;
  /**
   * Jobs of a pool whose event loop is busy when each begins and idle from a phase on (−1: never; −2: both at random times):
   * phases with a wrong number of items, and how often the last thread joined.
   */
  poolJobs(
    threads: number,
    jobs: number,
    phases: number,
    when: number,
  ): { readonly wrong: number; readonly joined: number };
}

/** Built next to the package's addon, in a checkout only. */
export function nativeTestBinding(): NativeTestBinding {
  const path = join(dirname(nativeAddonPath()), "idlm_native_test.node");
  if (!existsSync(path)) throw new Error(`${path} was not built: run \`npm run install\``);
  return createRequire(import.meta.url)(path) as NativeTestBinding;
}
