import { describe, expect, it } from "vitest";
import { chooseDraftVocabulary, countResponseIds, coverage } from "./draft-vocabulary.ts";

describe("the draft vocabulary", () => {
  const rows = [
    { tokens: Int32Array.of(9, 9, 5, 5, 7), isResponse: Uint8Array.of(0, 0, 1, 1, 1) },
    { tokens: Int32Array.of(9, 7, 7, 3), isResponse: Uint8Array.of(0, 1, 1, 1) },
  ];
  const counts = countResponseIds(rows, 12);

  it("counts ids of responses only", () => {
    expect([...counts]).toEqual([0, 0, 0, 1, 0, 2, 0, 3, 0, 0, 0, 0]);
  });

  it("has the most frequent ids, filled up with the lowest, in ascending order", () => {
    expect([...chooseDraftVocabulary(counts, 2)]).toEqual([5, 7]);
    expect([...chooseDraftVocabulary(counts, 5)]).toEqual([0, 1, 3, 5, 7]);
    expect(chooseDraftVocabulary(counts, 40)).toHaveLength(12);
  });

  it("covers its share of the occurrences", () => {
    expect(coverage(counts, Int32Array.of(5, 7))).toBeCloseTo(5 / 6, 12);
    expect(coverage(new Float64Array(12), Int32Array.of(5))).toBe(1);
  });
});
