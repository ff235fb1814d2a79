import { type Forest, PAGE_SIZE } from "../../compute/forest/forest.ts";
import type { LoadedModel } from "../../compute/loaded-model.ts";
import { neutralSettings } from "../../compute/sampling/settings.ts";
import { decodingShapes, type ForwardMs, type ForwardShape, roundShapes } from "./predict-speed.ts";

/** Cached positions before the timed rows. */
const CONTEXT_TOKENS = 128;
/** Every shape is timed once per round, so that disturbances affect all of them. */
const ROUNDS = 9;

/** Milliseconds by shape, as stored in a run's log. */
export type MeasuredForwards = readonly (ForwardShape & { readonly ms: number })[];

/** Times the forwards of all shapes of decoding with runs of up to `nMasks`: the fastest of some, since other programs only slow them down. */
export async function measureForwards(
  model: LoadedModel,
  nMasks: number,
  signal?: AbortSignal,
): Promise<MeasuredForwards> {
  const shapes = new Map<string, ForwardShape>();
  for (const shape of decodingShapes(nMasks)) {
    const { full, cold } = roundShapes(shape);
    for (const forward of [full, cold]) shapes.set(`${forward.nTokens} ${forward.nMasks}`, forward);
  }
  const pages = Int32Array.from({ length: CONTEXT_TOKENS / PAGE_SIZE + 2 }, (_, i) => i);
  const cache = model.createCache(pages.length);
  const sampler = model.createSampler(neutralSettings);
  const { vocabSize } = model.program.sizes;
  const timed = [...shapes.values()].map((shape) => ({ ...shape, times: [] as number[] }));
  try {
    await model.forward(rowsAfter(0, { nTokens: CONTEXT_TOKENS, nMasks: 0 }, vocabSize, pages), cache);
    for (let round = 0; round <= ROUNDS; round++) {
      for (const { nTokens, nMasks: masks, times } of timed) {
        signal?.throwIfAborted();
        const forest = rowsAfter(CONTEXT_TOKENS, { nTokens, nMasks: masks }, vocabSize, pages);
        const draws = Array.from({ length: nTokens }, (_, row) => {
          return { row, sampler, position: CONTEXT_TOKENS + row + 1, unverified: [] };
        });
        const startMs = performance.now();
        await model.forward(forest, cache, { draws });
        // The first round is a warm-up.
        if (round > 0) times.push(performance.now() - startMs);
      }
    }
  } finally {
    cache.dispose();
  }
  return timed.map(({ times, ...shape }) => ({ ...shape, ms: Math.min(...times) }));
}

/** Looks measured times up. No forward is faster than one with fewer rows: where it was measured so, something disturbed that one. */
export function forwardMsOf(measured: MeasuredForwards): ForwardMs {
  return ({ nTokens, nMasks }) => {
    const times = measured.filter((shape) => shape.nTokens <= nTokens && shape.nMasks <= nMasks).map(({ ms }) => ms);
    return Math.max(...times);
  };
}

/** A chain of token rows after cached positions, and runs of MASK rows off the last ones of them. The tokens are arbitrary. */
function rowsAfter(length: number, { nTokens, nMasks }: ForwardShape, vocabSize: number, pages: Int32Array): Forest {
  const nRows = nTokens + nMasks;
  const rows = Int32Array.from({ length: nRows }, (_, row) => row);
  // Runs of equal length off every token, or one off the last.
  const runLength = nMasks % nTokens === 0 && nMasks / nTokens === nTokens - 1 ? nTokens - 1 : nMasks;
  const place = (row: number) => (row - nTokens) % Math.max(1, runLength);
  const anchor = (row: number) => nTokens - 1 - Math.floor((row - nTokens) / Math.max(1, runLength));
  return {
    sequences: [{ length, pages }],
    tokens: rows.map((row) => (row < nTokens ? (row * 7 + 1) % vocabSize : -1)),
    positions: rows.map((row) => length + (row < nTokens ? row : anchor(row) + 1 + place(row))),
    parents: rows.map((row) => (row < nTokens || place(row) > 0 ? row - 1 : anchor(row))),
    gate: Uint8Array.from(rows, (row) => (row < nTokens ? 0 : 1)),
    sequence: new Int32Array(nRows),
    // A prompt needs the output of its last row, a round of all rows.
    needsOutput: Uint8Array.from(rows, (row) => (length > 0 || row === nRows - 1 ? 1 : 0)),
  };
}
