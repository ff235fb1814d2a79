import { freemem } from "node:os";
import type { BackendInfo } from "../../compute/backend.ts";
import { PAGE_SIZE } from "../../compute/forest/forest.ts";
import { peakWidth } from "../../compute/program/liveness.ts";
import { cacheWidths, type Program } from "../../compute/program/program.ts";
import { IdlmError, key, phrase } from "../../errors.ts";
import { byteLength } from "../../formats/tensor/tensor-type.ts";
import { MAX_FORWARD_ROWS, MAX_ROUND_ROWS, MAX_ROUND_ROWS_TOGETHER } from "../limits.ts";
import { pagesFor } from "./page-pool.ts";

/** Contexts beyond it are made only when asked for: few requests need them, and their KV cache is large. */
const DEFAULT_CONTEXT = 32_768;
/** A context that is too short for a question and its answer is no use: rather say what is missing. */
const SHORTEST_DEFAULT_CONTEXT = 512;
const MB = 1e6;

/** Bytes of this machine that this process may still take. */
export function availableMemory(): number {
  // A container's limit counts less what this process has; its page cache can be had back.
  const limit = process.constrainedMemory() ?? 0;
  const ofContainer =
    limit > 0 && limit < Number.MAX_SAFE_INTEGER ? limit - process.memoryUsage.rss() : Number.POSITIVE_INFINITY;
  return Math.max(0, Math.min(freemem(), ofContainer));
}

/** Bytes of K and V of one position, all layers. */
export function kvBytesPerPosition(program: Program): number {
  const floats = cacheWidths(program).reduce((sum, width) => sum + 2 * width, 0);
  return floats * (program.cacheType === "f16" ? 2 : 4);
}

/** Bytes that a loaded program takes beside its KV cache. */
export function programBytes(program: Program, backend: BackendInfo["name"]): number {
  let bytes = 0;
  for (const { rows, cols, type, origin } of Object.values(program.parameters)) {
    const nElements = rows * cols;
    // Of an adapter: float32 as read, and packed.
    if (origin === "adapter") bytes += nElements * 6;
    // The reference keeps float32; the native backend repacks, with scales at least as wide as the file's.
    else bytes += backend === "reference" ? nElements * 4 : (byteLength(type, nElements) ?? nElements * 4) * 1.1;
  }
  const { forward, values, results, sizes } = program;
  const rowBytes = 4 * peakWidth(forward, values, [results.hidden]);
  return bytes + MAX_FORWARD_ROWS * rowBytes + MAX_ROUND_ROWS_TOGETHER * sizes.vocabSize * 4;
}

/**
 * The context to make room for: what was asked for, else what the model was made for as far as memory allows.
 * @throws IdlmError "memory" where it does not fit, saying what to lower.
 */
export function fittingContext(
  program: Program,
  backend: BackendInfo["name"],
  wanted: number | undefined,
  modelContext: number,
  available = availableMemory(),
): number {
  const perPosition = kvBytesPerPosition(program);
  const fixed = programBytes(program, backend) + MAX_ROUND_ROWS * perPosition;
  const most = Math.floor((available - fixed) / perPosition / PAGE_SIZE) * PAGE_SIZE;
  const least = wanted ?? Math.min(modelContext, SHORTEST_DEFAULT_CONTEXT);
  if (most < least) {
    const isContext = most >= SHORTEST_DEFAULT_CONTEXT;
    throw new IdlmError("memory", {
      needed: Math.ceil((fixed + least * perPosition) / MB),
      available: Math.floor(available / MB),
      what: isContext
        ? phrase`the context (${key("context")} ${most} fits)`
        : "the model's size: use a smaller one or one of fewer bits",
    });
  }
  return wanted ?? Math.min(modelContext, DEFAULT_CONTEXT, most);
}

/** Share of the memory that is left beside a model and one context which texts that run together may take. */
const SHARE_FOR_OTHERS = 0.25;

/** Pages of a KV cache for `nSequences` whole contexts as far as memory allows, but one in any case; or what was asked for. */
export function fittingPages(
  program: Program,
  backend: BackendInfo["name"],
  context: number,
  nSequences: number,
  wanted: number | undefined,
  available = availableMemory(),
): number {
  const perPage = PAGE_SIZE * kvBytesPerPosition(program);
  const one = pagesFor(context + MAX_ROUND_ROWS);
  if (wanted !== undefined) return Math.max(one, pagesFor(wanted + MAX_ROUND_ROWS));
  const left = available - programBytes(program, backend) - one * perPage;
  const others = Math.max(0, Math.floor((left * SHARE_FOR_OTHERS) / perPage));
  return one + Math.min(others, (nSequences - 1) * one);
}
