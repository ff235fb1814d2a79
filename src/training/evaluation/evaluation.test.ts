import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { chooseHeldOut } from "./evaluation.ts";
import { depthFigures, type EvaluatedRow, keptDepths } from "./evaluate.ts";
import { forwardMsOf } from "./measure-forwards.ts";
import { countRounds, decodingShapes, predictSpeed } from "./predict-speed.ts";

/** A row whose anchors have these numbers of proposals that stand, of three. */
const rowOf = (kept: readonly number[], source = "a"): EvaluatedRow => ({
  source,
  anchors: Int32Array.from(kept, (_, i) => 5 + i),
  nMasks: 3,
  textRank: Int32Array.from(kept.flatMap((k) => [0, 1, 2].map((depth) => (depth < k ? 0 : depth === k ? 3 : 1)))),
  targetRank: Int32Array.from(kept.flatMap(() => [0, 0, 9])),
  overlap: Float32Array.from(kept.flatMap(() => [0.5, 0.25, 0])),
});

describe("depthFigures", () => {
  it("counts survival from the first depth on, and coverage of each depth by itself", () => {
    const figures = depthFigures([rowOf([3, 0, 1, 2])]);
    expect(figures.anchors).toBe(4);
    expect(figures.survival).toEqual([3 / 4, 2 / 4, 1 / 4]);
    expect(figures.survivalOfArgmax).toEqual([1, 1, 0]);
    expect(figures.overlap).toEqual([0.5, 0.25, 0]);
    // Ranks by depth: 0 3 0 0, 0 1 3 0, 0 1 1 3.
    expect(figures.coverage2).toEqual([3 / 4, 3 / 4, 3 / 4]);
    expect(figures.coverage4).toEqual([1, 1, 1]);
  });
});

describe("countRounds", () => {
  it("goes on behind the proposals that stood, and loses the runs behind a rejection in the form chain", () => {
    // Anchors 0 (k = 2) -> 3 (k = 0) -> 4 -> …
    const row = rowOf([2, 0, 0, 0, 3, 3, 3, 3]);
    expect(countRounds([row], { form: "quadratic", length: 3 })).toEqual({ tokens: 8, full: 3, cold: 0 });
    // 0 takes 3 tokens and rejects one; 3 begins cold; 4 has 3 proposals, which all stand.
    expect(countRounds([row], { form: "chain", length: 3 })).toEqual({ tokens: 8, full: 2, cold: 1 });
    expect(countRounds([row], { form: "quadratic", length: 1 })).toEqual({ tokens: 8, full: 5, cold: 0 });
  });

  it("writes a token per round at least, and never more than the run and one", () => {
    const kept = fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 1, maxLength: 60 });
    fc.assert(
      fc.property(kept, (counts) => {
        for (const shape of decodingShapes(3).slice(1)) {
          const { tokens, full, cold } = countRounds([rowOf(counts)], shape);
          expect(tokens).toBeGreaterThanOrEqual(Math.max(full + cold, counts.length));
          expect(tokens).toBeLessThanOrEqual(full * (shape.length + 1) + cold);
          expect(tokens).toBeLessThanOrEqual(counts.length + shape.length);
        }
      }),
    );
  });
});

describe("predictSpeed", () => {
  const accepted = [rowOf([3, 3, 3, 3, 3, 3, 3, 3])];

  it("decodes plainly where rows are expensive, and with the longest runs where they are free", () => {
    const expensive = predictSpeed(accepted, ({ nTokens, nMasks }) => 10 * (nTokens + nMasks));
    expect(expensive).toMatchObject({ length: 0, tokensPerSecond: 100, tokensPerForward: 1 });
    const free = predictSpeed(accepted, () => 10);
    expect(free).toMatchObject({ length: 3, tokensPerSecond: 400, tokensPerForward: 4, plainTokensPerSecond: 100 });
    const rejected = predictSpeed([rowOf([0, 0, 0])], ({ nTokens, nMasks }) => 10 + nTokens + nMasks);
    expect(rejected.length).toBe(0);
  });
});

describe("forwardMsOf", () => {
  it("never takes a forward for faster than one with fewer rows", () => {
    const ms = forwardMsOf([
      { nTokens: 1, nMasks: 0, ms: 12 },
      { nTokens: 2, nMasks: 1, ms: 9 },
      { nTokens: 3, nMasks: 2, ms: 14 },
    ]);
    expect([ms({ nTokens: 1, nMasks: 0 }), ms({ nTokens: 2, nMasks: 1 }), ms({ nTokens: 3, nMasks: 2 })]).toEqual([
      12, 12, 14,
    ]);
  });
});

describe("chooseHeldOut", () => {
  it("takes rows from the sources in turn", () => {
    const row = (source: string, temperature: number) => {
      return { source, temperature, tokens: new Int32Array(), isResponse: new Uint8Array() };
    };
    const rows = [row("b", 1), row("b", 2), row("b", 3), row("a", 4)];
    expect(chooseHeldOut(rows, 3).map(({ temperature }) => temperature)).toEqual([4, 1, 2]);
    expect(chooseHeldOut(rows, 9)).toHaveLength(4);
    expect(keptDepths(Int32Array.of(0, 0, 1), 3, 0)).toBe(2);
  });
});
