import { describe, expect, it } from "vitest";
import type { WireRound } from "../api/wire.ts";
import { seriesOf, statisticsOf } from "./statistics.ts";

/** A round with a chain of MASK proposals, of which the first ones are accepted. */
function chain(forward: number, ms: number, proposed: number, accepted: number): WireRound {
  const proposals = Array.from({ length: proposed }, (_, i) => ({
    ...{ id: i, text: "p", parent: i - 1, depth: i + 1, source: "mask", probability: 0.5, accepted: i < accepted },
  }));
  const tokens = Array.from({ length: accepted + 1 }, (_, i) =>
    i < accepted ? { id: i, text: "p", source: "mask", depth: i + 1 } : { id: i, text: "d", source: "drawn", depth: 0 },
  );
  return { forward, ms, rows: 1 + proposed, proposals, tokens };
}

describe("statisticsOf", () => {
  it("counts tokens, forwards and time without the prefill", () => {
    const all = statisticsOf([chain(1, 100, 0, 0), chain(2, 5, 2, 2), chain(3, 5, 2, 0), chain(4, 10, 3, 1)]);
    expect(all).toMatchObject({ tokens: 7, forwards: 4, tokensPerForward: 1.75, decodeMs: 20, tokensPerSecond: 300 });
    expect(all).toMatchObject({ proposed: 7, accepted: 3 });
    expect([...all.bySource]).toEqual([
      ["drawn", 4],
      ["mask-1", 2],
      ["mask-2", 1],
    ]);
  });

  it("counts a depth only where all before it stood", () => {
    expect(statisticsOf([chain(2, 5, 2, 2), chain(3, 5, 2, 0), chain(4, 10, 3, 1)]).byDepth).toEqual([
      { reached: 3, accepted: 2 },
      { reached: 2, accepted: 1 },
    ]);
  });

  it("counts alternatives of a tree once", () => {
    const base = chain(1, 5, 1, 0);
    const [first] = base.proposals;
    if (first === undefined) throw new Error("no proposal");
    const round = { ...base, proposals: [first, { ...first, accepted: true }] };
    expect(statisticsOf([round]).byDepth).toEqual([{ reached: 1, accepted: 1 }]);
  });

  it("is zero without rounds", () => {
    expect(statisticsOf([])).toMatchObject({ tokens: 0, tokensPerForward: 0, tokensPerSecond: 0, byDepth: [] });
  });
});

describe("seriesOf", () => {
  it("is a moving mean over sixteen forwards", () => {
    const rounds = Array.from({ length: 32 }, (_, i) => chain(i + 2, 10, 1, i < 16 ? 1 : 0));
    const { forward, tokensPerForward, tokensPerSecond } = seriesOf([chain(1, 500, 0, 0), ...rounds]);
    expect(forward).toEqual(rounds.map((round) => round.forward));
    expect([tokensPerForward[0], tokensPerForward[15], tokensPerForward[23], tokensPerForward[31]]).toEqual([
      2, 2, 1.5, 1,
    ]);
    expect(tokensPerSecond[31]).toBeCloseTo(100);
  });
});
