import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { WireProposal, WireRound } from "../api/wire.ts";
import { layOut, thrownAway } from "./round-tree.ts";

const proposal = (text: string, parent: number, depth: number, accepted: boolean): WireProposal => ({
  ...{ id: 1, text, parent, depth, source: "mask", probability: 0.5, accepted },
});

const round = (proposals: readonly WireProposal[], ...tokens: string[]): WireRound => ({
  ...{ forward: 3, ms: 5, rows: 1 + proposals.length, proposals },
  tokens: tokens.map((text, i) => {
    const isDrawn = i === tokens.length - 1;
    return { id: 1, text, source: isDrawn ? "drawn" : "mask", depth: isDrawn ? 0 : i + 1 };
  }),
});

describe("layOut", () => {
  it("draws a chain: what stood in a line, then the drawn token beside what was thrown away", () => {
    const chain = [proposal("a", -1, 1, true), proposal("b", 0, 2, false), proposal("c", 1, 3, false)];
    const { nodes, nDepths, nLanes } = layOut(round(chain, "a", "x"), "it");
    expect(nodes.map(({ text, verdict, depth, lane }) => [text, verdict, depth, lane])).toEqual([
      ["it", "pending", 0, 0],
      ["a", "accepted", 1, 0],
      ["x", "drawn", 2, 0],
      ["b", "rejected", 2, 1],
      ["c", "unreached", 3, 1],
    ]);
    expect([nDepths, nLanes]).toEqual([4, 2]);
  });

  it("draws alternatives below each other, the accepted one first", () => {
    const tree = [proposal("a", -1, 1, false), proposal("b", -1, 1, true), proposal("c", 1, 2, true)];
    const { nodes } = layOut(round(tree, "b", "c", "."), "it");
    expect(nodes.map(({ text, depth, lane }) => [text, depth, lane])).toEqual([
      ["it", 0, 0],
      ["b", 1, 0],
      ["c", 2, 0],
      [".", 3, 0],
      ["a", 1, 1],
    ]);
  });

  it("draws a plain round as one step", () => {
    expect(layOut(round([], "x"), "it").nodes.map(({ verdict }) => verdict)).toEqual(["pending", "drawn"]);
  });

  it("puts every node on a place of its own, right of its parent", () => {
    const parents = fc.array(fc.nat(), { maxLength: 12 });
    fc.assert(
      fc.property(parents, fc.array(fc.boolean(), { minLength: 12, maxLength: 12 }), (choices, accepted) => {
        const depths: number[] = [];
        const proposals = choices.map((choice, i) => {
          const parent = (choice % (i + 1)) - 1;
          depths[i] = parent < 0 ? 1 : (depths[parent] ?? 0) + 1;
          return proposal(String(i), parent, depths[i], accepted[i] ?? false);
        });
        const { nodes, nLanes, nDepths } = layOut(round(proposals, "x"), "it");
        const shown = nodes.filter(({ verdict }) => verdict !== "pending" && verdict !== "drawn");
        expect(shown.map(({ text }) => text).sort()).toEqual(proposals.map(({ text }) => text).sort());
        expect(new Set(nodes.map(({ depth, lane }) => `${depth} ${lane}`)).size).toBe(nodes.length);
        for (const { parent, depth, lane } of nodes) {
          if (parent !== undefined) expect(nodes[parent]?.depth).toBe(depth - 1);
          expect(lane).toBeLessThan(nLanes);
          expect(depth).toBeLessThan(nDepths);
        }
      }),
    );
  });
});

describe("thrownAway", () => {
  it("is the text of the proposals from the first wrong one on", () => {
    const chain = [proposal("a", -1, 1, true), proposal("b", 0, 2, false), proposal("c", 1, 3, false)];
    expect(thrownAway(round(chain, "a", "x"))).toBe("bc");
    expect(thrownAway(round([proposal("a", -1, 1, true)], "a", "x"))).toBe("");
    expect(thrownAway(round([proposal("a", -1, 1, false), proposal("b", -1, 1, false)], "x"))).toBe("a");
    expect(thrownAway(undefined)).toBe("");
  });
});
