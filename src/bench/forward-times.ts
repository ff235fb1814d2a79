import { type Forest, PAGE_SIZE } from "../compute/forest/forest.ts";
import type { LoadedModel } from "../compute/loaded-model.ts";
import { neutralSettings } from "../compute/sampling/settings.ts";
import { median } from "./statistics.ts";

/** Cached positions before the timed rows. */
export const CONTEXT_TOKENS = 256;

/** Numbers of token rows to time. */
export const ROW_COUNTS: readonly number[] = [1, 2, 3, 4, 5, 6, 7, 8, 16];

/** Every shape is timed once per round, so that disturbances affect all of them. */
const ROUNDS = 15;

/** Median times of forwards, in milliseconds. */
export interface ForwardTimes {
  readonly contextTokens: number;
  readonly rows: readonly { readonly rows: number; readonly ms: number; readonly overOneRow: number }[];
  /** Decoding rounds by stride; empty without MASK rows. */
  readonly strides: readonly StrideTime[];
}

export interface StrideTime {
  readonly stride: number;
  readonly rows: number;
  readonly ms: number;
  /** Time relative to one row: the tokens per forward above which the stride is faster than plain decoding. */
  readonly overhead: number;
  /** Speed-up if every proposal is accepted: stride ÷ overhead. */
  readonly bestSpeedUp: number;
}

/** Times forwards of token rows after CONTEXT_TOKENS positions, and, if the program has MASK rows, of complete rounds. */
export async function measureForwards(
  model: LoadedModel,
  signal: AbortSignal,
  onRound: (round: number, of: number) => void,
): Promise<ForwardTimes> {
  const { mask, sizes } = model.program;
  const { vocabSize } = sizes;
  // A round of stride N: the pending token, N − 1 proposals, N − 1 MASKs.
  const strides =
    mask === undefined
      ? []
      : [2, 3, 4, 5, 6, 7, 8].filter((stride) => mask.sharedByDepth || stride - 1 <= mask.nDepths);
  const shapes = [
    ...ROW_COUNTS.map((rows) => ({ nTokens: rows, nMasks: 0 })),
    ...strides.map((stride) => ({ nTokens: stride, nMasks: stride - 1 })),
  ];
  const pages = Int32Array.from({ length: CONTEXT_TOKENS / PAGE_SIZE + 2 }, (_, i) => i);
  const cache = model.createCache(pages.length);
  const sampler = model.createSampler(neutralSettings);
  try {
    await model.forward(chain(0, CONTEXT_TOKENS, 0, vocabSize, pages), cache);
    const times = shapes.map((): number[] => []);
    for (let round = 0; round <= ROUNDS; round++) {
      onRound(round, ROUNDS);
      for (const [i, { nTokens, nMasks }] of shapes.entries()) {
        signal.throwIfAborted();
        const forest = chain(CONTEXT_TOKENS, nTokens, nMasks, vocabSize, pages);
        const draws = Array.from({ length: nTokens }, (_, row) => ({
          row,
          sampler,
          position: CONTEXT_TOKENS + row + 1,
          unverified: [],
        }));
        const startMs = performance.now();
        await model.forward(forest, cache, { draws });
        // The first round is a warm-up.
        if (round > 0) times[i]?.push(performance.now() - startMs);
      }
    }
    const medians = times.map(median);
    const oneRowMs = medians[0] ?? 0;
    return {
      contextTokens: CONTEXT_TOKENS,
      rows: ROW_COUNTS.map((rows, i) => ({ rows, ms: medians[i] ?? 0, overOneRow: (medians[i] ?? 0) / oneRowMs })),
      strides: strides.map((stride, i) => {
        const ms = medians[ROW_COUNTS.length + i] ?? 0;
        return { stride, rows: 2 * stride - 1, ms, overhead: ms / oneRowMs, bestSpeedUp: (stride * oneRowMs) / ms };
      }),
    };
  } finally {
    sampler.dispose();
    cache.dispose();
  }
}
/** A chain of token rows, then MASK rows, after `length` cached positions. The tokens are arbitrary. */
function chain(length: number, nTokens: number, nMasks: number, vocabSize: number, pages: Int32Array): Forest {
  const nRows = nTokens + nMasks;
  const rows = Int32Array.from({ length: nRows }, (_, row) => row);
  return {
    sequences: [{ length, pages }],
    tokens: rows.map((row) => (row < nTokens ? (row * 7 + 1) % vocabSize : -1)),
    positions: rows.map((row) => length + row),
    parents: rows.map((row) => row - 1),
    gate: Uint8Array.from(rows, (row) => (row < nTokens ? 0 : 1)),
    sequence: new Int32Array(nRows),
    // A prompt needs the output of its last row, a round of all rows.
    needsOutput: Uint8Array.from(rows, (row) => (length > 0 || row === nRows - 1 ? 1 : 0)),
  };
}
