import type { TrainingRow } from "./training-data.ts";

/** How often each id occurs in the responses. */
export function countResponseIds(
  rows: Iterable<Pick<TrainingRow, "tokens" | "isResponse">>,
  vocabSize: number,
): Float64Array {
  const counts = new Float64Array(vocabSize);
  for (const { tokens, isResponse } of rows) {
    tokens.forEach((id, i) => {
      if (isResponse[i] === 1) counts[id] = (counts[id] ?? 0) + 1;
    });
  }
  return counts;
}

/** The `size` most frequent ids, of equally frequent ones the lowest, in ascending order. */
export function chooseDraftVocabulary(counts: Float64Array, size: number): Int32Array<ArrayBuffer> {
  const byCount = Array.from(counts, (_, id) => id).sort((a, b) => (counts[b] ?? 0) - (counts[a] ?? 0) || a - b);
  return Int32Array.from(byCount.slice(0, size)).sort();
}

/** Share of all counted occurrences whose token is in the draft vocabulary; 1 without counts. */
export function coverage(counts: Float64Array, draftVocabulary: Int32Array): number {
  const all = counts.reduce((a, b) => a + b, 0);
  const covered = draftVocabulary.reduce((sum, id) => sum + (counts[id] ?? 0), 0);
  return all === 0 ? 1 : covered / all;
}
