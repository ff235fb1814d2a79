import { freemem } from "node:os";
import type { BackendInfo } from "../../compute/backend.ts";
import { PAGE_SIZE } from "../../compute/forest/forest.ts";
import { peakWidth } from "../../compute/program/liveness.ts";
import { cacheWidths, type Program } from "../../compute/program/program.ts";
import { IdlmError, key, phrase } from "../../errors.ts";
import { byteLength } from "../../formats/tensor/tensor-type.ts";
import { MAX_FORWARD_ROWS, MAX_ROUND_ROWS, MAX_BATCH_ROUND_ROWS } from "../limits.ts";
import { pagesFor } from "./page-pool.ts";

/** Longest default context (positions). Few requests need more, and the KV cache gets large. */
const MAX_DEFAULT_CONTEXT = 32_768;
/**
 * Shortest default context (positions): too short for a question and its answer is of no use, so loading fails instead.
 */
const MIN_DEFAULT_CONTEXT = 512;
const MB = 1e6;

/** Bytes that this process may still allocate. */
export function availableMemory(): number {
  // A container's limit less this process's memory. The container's page cache can be reclaimed, so it does not count.
  const limit = process.constrainedMemory() ?? 0;
  const containerLeft =
    limit > 0 && limit < Number.MAX_SAFE_INTEGER ? limit - process.memoryUsage.rss() : Number.POSITIVE_INFINITY;
  return Math.max(0, Math.min(freemem(), containerLeft));
}

/** Bytes of K and V of one position, all layers. */
export function kvBytesPerPosition(program: Program): number {
  const floats = cacheWidths(program).reduce((sum, width) => sum + 2 * width, 0);
  return floats * (program.cacheType === "f16" ? 2 : 4);
}

/** Bytes of the base's weights, which another model may share. */
export function baseBytes(program: Program, backend: BackendInfo["name"]): number {
  let bytes = 0;
  for (const { rows, cols, type, origin } of Object.values(program.parameters)) {
    if (origin === "adapter") continue;
    const nElements = rows * cols;
    // The reference keeps float32; the native backend repacks, with scales at least as wide as the file's.
    bytes += backend === "reference" ? nElements * 4 : (byteLength(type, nElements) ?? nElements * 4) * 1.1;
  }
  return bytes;
}

/** Bytes of a loaded program without its KV cache. */
export function programBytes(program: Program, backend: BackendInfo["name"]): number {
  let bytes = baseBytes(program, backend);
  // Adapter: float32 as read, and packed.
  for (const { rows, cols, origin } of Object.values(program.parameters)) {
    if (origin === "adapter") bytes += rows * cols * 6;
  }
  const { forward, values, results, sizes } = program;
  const rowBytes = 4 * peakWidth(forward, values, [results.hidden]);
  return bytes + MAX_FORWARD_ROWS * rowBytes + MAX_BATCH_ROUND_ROWS * sizes.vocabSize * 4;
}

/**
 * The context to allocate: as requested, else the model's own as far as memory allows. @throws IdlmError "memory" if it
 * does not fit, with what to lower.
 */
export function fittingContext(
  program: Program,
  backend: BackendInfo["name"],
  requested: number | undefined,
  modelContext: number,
  available = availableMemory(),
): number {
  const perPosition = kvBytesPerPosition(program);
  const fixed = programBytes(program, backend) + MAX_ROUND_ROWS * perPosition;
  const max = Math.floor((available - fixed) / perPosition / PAGE_SIZE) * PAGE_SIZE;
  const min = requested ?? Math.min(modelContext, MIN_DEFAULT_CONTEXT);
  if (max < min) {
    const isContext = max >= MIN_DEFAULT_CONTEXT;
    throw new IdlmError("memory", {
      needed: Math.ceil((fixed + min * perPosition) / MB),
      available: Math.floor(available / MB),
      what: isContext
        ? phrase`the context (${key("context")} ${max} fits)`
        : "the model's size: use a smaller one or one of fewer bits",
    });
  }
  return requested ?? Math.min(modelContext, MAX_DEFAULT_CONTEXT, max);
}

/** Share of the memory left after the model and one context that the KV cache of further sequences may take. */
const CACHE_SHARE = 0.25;

/**
 * Pages of the KV cache: as requested, else `nSequences` whole contexts as far as memory allows. At least one context.
 */
export function fittingPages(
  program: Program,
  backend: BackendInfo["name"],
  context: number,
  nSequences: number,
  requested: number | undefined,
  available = availableMemory(),
): number {
  const perPage = PAGE_SIZE * kvBytesPerPosition(program);
  const one = pagesFor(context + MAX_ROUND_ROWS);
  if (requested !== undefined) return Math.max(one, pagesFor(requested + MAX_ROUND_ROWS));
  const left = available - programBytes(program, backend) - one * perPage;
  const others = Math.max(0, Math.floor((left * CACHE_SHARE) / perPage));
  return one + Math.min(others, (nSequences - 1) * one);
}
