import type { GatedModel, LossSettings } from "../../compute/gradients/gated-step.ts";
import { anchorSpans } from "../batches/anchors.ts";
import type { TrainingRow } from "../data/training-data.ts";

/** Results of one sequence: of every anchor in order, depth by depth. */
export interface EvaluatedRow {
  readonly source: string;
  readonly anchors: Int32Array;
  readonly nMasks: number;
  /** Rank of the sequence's own token, [anchor, depth]; 0: it is the best proposal. */
  readonly textRank: Int32Array;
  /** Rank of the base's most likely token, [anchor, depth]. */
  readonly targetRank: Int32Array;
  /** Σ min(p, q), [anchor, depth] */
  readonly overlap: Float32Array;
}

/** Anchors of one forward: bounds its memory. */
const ANCHORS_AT_ONCE = 64;
/** Keys of evaluated sequences, apart from those of training rows. */
const FIRST_KEY = 1e9;

/** Runs all anchors of some rows forward. Rows too short for a run are left out. */
export async function evaluateRows(
  model: GatedModel,
  rows: readonly TrainingRow[],
  nMasks: number,
  signal?: AbortSignal,
): Promise<EvaluatedRow[]> {
  const loss: LossSettings = {
    mixture: { log_overlap: 1 },
    depthWeights: new Array<number>(nMasks).fill(1),
    firstMiss: false,
  };
  const results: EvaluatedRow[] = [];
  for (const [index, { tokens, isResponse, source }] of rows.entries()) {
    const anchors = Int32Array.from(
      anchorSpans(isResponse, nMasks).flatMap(({ first, end }) =>
        Array.from({ length: end - first }, (_, i) => first + i),
      ),
    );
    if (anchors.length === 0) continue;
    const size = anchors.length * nMasks;
    const row = {
      ...{ source, anchors, nMasks },
      textRank: new Int32Array(size),
      targetRank: new Int32Array(size),
      overlap: new Float32Array(size),
    };
    for (let from = 0; from < anchors.length; from += ANCHORS_AT_ONCE) {
      signal?.throwIfAborted();
      const some = anchors.subarray(from, from + ANCHORS_AT_ONCE);
      const batch = { sequences: [{ key: FIRST_KEY + index, tokens, anchors: some }], nMasks };
      const { textRank, targetRank, overlap } = await model.step(batch, loss, false);
      row.textRank.set(textRank, from * nMasks);
      row.targetRank.set(targetRank, from * nMasks);
      row.overlap.set(overlap, from * nMasks);
    }
    results.push(row);
  }
  return results;
}

/** Figures by depth, each [depth], over all anchors. */
export interface DepthFigures {
  readonly anchors: number;
  /** Share of anchors whose MASKs up to this depth all rank the sequence's token first. */
  readonly survival: readonly number[];
  /** The same with the base's most likely token as the target. */
  readonly survivalOfArgmax: readonly number[];
  /** Mean of Σ min(p, q). */
  readonly overlap: readonly number[];
  /** Share of rows whose best 2 proposals have the sequence's token. */
  readonly coverage2: readonly number[];
  /** The same of the best 4. */
  readonly coverage4: readonly number[];
}

/** Sums up rows by depth. */
export function depthFigures(rows: readonly EvaluatedRow[]): DepthFigures {
  const nMasks = rows[0]?.nMasks ?? 0;
  const nAnchors = rows.reduce((sum, { anchors }) => sum + anchors.length, 0);
  /** Means over all anchors of a value of (row, anchor's index) for each depth. */
  const mean = (value: (row: EvaluatedRow, anchor: number, depth: number) => number) =>
    Array.from({ length: nMasks }, (_, depth) => {
      let sum = 0;
      for (const row of rows) for (let i = 0; i < row.anchors.length; i++) sum += value(row, i, depth);
      return sum / nAnchors;
    });
  const isBelow =
    (ranks: "textRank" | "targetRank", limit: number) => (row: EvaluatedRow, anchor: number, depth: number) =>
      (row[ranks][anchor * nMasks + depth] ?? limit) < limit ? 1 : 0;
  const survives = (ranks: "textRank" | "targetRank") => (row: EvaluatedRow, anchor: number, depth: number) =>
    keptDepths(row[ranks], nMasks, anchor) > depth ? 1 : 0;
  return {
    anchors: nAnchors,
    survival: mean(survives("textRank")),
    survivalOfArgmax: mean(survives("targetRank")),
    overlap: mean((row, anchor, depth) => row.overlap[anchor * nMasks + depth] ?? 0),
    coverage2: mean(isBelow("textRank", 2)),
    coverage4: mean(isBelow("textRank", 4)),
  };
}

/** Number of MASKs at an anchor with rank 0, from the first: the accepted proposals. */
export function keptDepths(ranks: Int32Array, nMasks: number, anchor: number): number {
  let kept = 0;
  while (kept < nMasks && ranks[anchor * nMasks + kept] === 0) kept++;
  return kept;
}
