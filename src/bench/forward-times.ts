import { type Forest, PAGE_SIZE } from "../compute/forest/forest.ts";
import type { LoadedModel } from "../compute/loaded-model.ts";
import { neutralSettings } from "../compute/sampling/settings.ts";
import { median } from "./statistics.ts";

/** Cached positions before the timed rows. */
const CONTEXT_TOKENS = 256;

/** Numbers of token rows to time. */
const ROW_COUNTS: readonly number[] = [1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 24, 32];

/** Rounds of timing by default. */
const ROUNDS = 15;

export interface TimingOptions {
  readonly rounds?: number;
  readonly signal: AbortSignal;
  readonly onRound: (round: number, of: number) => void;
}

/** Median times of forwards, in milliseconds. */
export interface ForwardTimes {
  readonly contextTokens: number;
  readonly rows: readonly RowTime[];
  /** Decoding rounds by stride; empty without MASK rows. */
  readonly strides: readonly StrideTime[];
}

export interface RowTime {
  readonly rows: number;
  readonly ms: number;
  readonly overOneRow: number;
}

interface StrideTime {
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
  { rounds = ROUNDS, signal, onRound }: TimingOptions,
): Promise<ForwardTimes> {
  const { mask } = model.program;
  // A round of stride N: the pending token, N − 1 proposals, N − 1 MASKs.
  const strides =
    mask === undefined
      ? []
      : [2, 3, 4, 5, 6, 7, 8].filter((stride) => mask.sharedByDepth || stride - 1 <= mask.nDepths);
  const shapes = [
    ...ROW_COUNTS.map((rows) => ({ nTokens: rows, nMasks: 0, nRuns: 1 })),
    ...strides.map((stride) => ({ nTokens: stride, nMasks: stride - 1, nRuns: 1 })),
  ];
  const medians = await timeRows(model, shapes, rounds, signal, onRound);
  const oneRowMs = medians[0] ?? 0;
  return {
    contextTokens: CONTEXT_TOKENS,
    rows: ROW_COUNTS.map((rows, i) => ({ rows, ms: medians[i] ?? 0, overOneRow: (medians[i] ?? 0) / oneRowMs })),
    strides: strides.map((stride, i) => {
      const ms = medians[ROW_COUNTS.length + i] ?? 0;
      return { stride, rows: 2 * stride - 1, ms, overhead: ms / oneRowMs, bestSpeedUp: (stride * oneRowMs) / ms };
    }),
  };
}

/** Rows of a forward: a chain of tokens, and MASK rows as runs of nearly equal length off the last token rows. */
export interface RowShape {
  readonly nTokens: number;
  readonly nMasks: number;
  readonly nRuns: number;
}

/**
 * Median milliseconds of forwards of these rows after CONTEXT_TOKENS positions, with a draw at every token row. Every shape
 * is timed once per round, so that disturbances affect all of them.
 */
export async function timeRows(
  model: LoadedModel,
  shapes: readonly RowShape[],
  nRounds: number,
  signal: AbortSignal,
  onRound: (round: number, of: number) => void,
): Promise<number[]> {
  const { vocabSize } = model.program.sizes;
  const maxRows = Math.max(...shapes.map(({ nTokens, nMasks }) => nTokens + nMasks));
  const nPages = Math.ceil((CONTEXT_TOKENS + maxRows) / PAGE_SIZE);
  const pages = Int32Array.from({ length: nPages }, (_, i) => i);
  const cache = model.createCache(nPages);
  const sampler = model.createSampler(neutralSettings);
  try {
    await model.forward(roundRows(0, { nTokens: CONTEXT_TOKENS, nMasks: 0, nRuns: 1 }, vocabSize, pages), cache);
    const times = shapes.map((): number[] => []);
    // The first round is a warm-up.
    for (let round = 0; round <= nRounds; round++) {
      onRound(round, nRounds);
      for (const [i, shape] of shapes.entries()) {
        signal.throwIfAborted();
        const forest = roundRows(CONTEXT_TOKENS, shape, vocabSize, pages);
        const draws = Array.from({ length: shape.nTokens }, (_, row) => ({
          row,
          sampler,
          position: CONTEXT_TOKENS + row + 1,
          unverified: [],
        }));
        const startMs = performance.now();
        await model.forward(forest, cache, { draws });
        if (round > 0) times[i]?.push(performance.now() - startMs);
      }
    }
    return times.map(median);
  } finally {
    cache.dispose();
  }
}

/** The forest of these rows after `length` cached positions. The tokens are arbitrary. */
function roundRows(length: number, { nTokens, nMasks, nRuns }: RowShape, vocabSize: number, pages: Int32Array): Forest {
  const nRows = nTokens + nMasks;
  const rows = Int32Array.from({ length: nRows }, (_, row) => row);
  const parents = rows.map((row) => (row < nTokens ? row - 1 : row - nRuns));
  const positions = new Int32Array(nRows);
  for (const row of rows) positions[row] = (row === 0 ? length - 1 : (positions[parents[row] ?? 0] ?? 0)) + 1;
  return {
    sequences: [{ length, pages }],
    tokens: rows.map((row) => (row < nTokens ? (row * 7 + 1) % vocabSize : -1)),
    positions,
    parents,
    gate: Uint8Array.from(rows, (row) => (row < nTokens ? 0 : 1)),
    sequence: new Int32Array(nRows),
    // A prompt needs the output of its last row, a round of all rows.
    needsOutput: Uint8Array.from(rows, (row) => (length > 0 || row === nRows - 1 ? 1 : 0)),
  };
}
