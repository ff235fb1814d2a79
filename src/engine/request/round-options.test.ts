import { describe, expect, it } from "vitest";
import { type ProposalLimits, roundOptions } from "./round-options.ts";
import type { GenerateRequest } from "../types.ts";

const mask = { nDepths: 3, sharedByDepth: false, entryLayer: 0 };
const withAdapter: ProposalLimits = { mask, adapterPath: "some/adapter", nExtraHeads: 0, hasDraft: false };
const bare: ProposalLimits = { ...withAdapter, mask: undefined, adapterPath: undefined };

describe("roundOptions", () => {
  it.each<[GenerateRequest, ProposalLimits, object]>([
    // Defaults: the planner chooses each round, with all available proposers.
    [{}, withAdapter, { propose: "auto", sources: ["mask", "lookup"], shape: "auto", stride: 8, maxRun: 3 }],
    [{}, bare, { propose: "lookup", sources: ["lookup"], shape: "auto", stride: 8, maxRun: 0 }],
    [{ predict: "a" }, bare, { sources: ["predicted", "lookup"] }],
    [
      {},
      { ...withAdapter, hasDraft: true, nExtraHeads: 4 },
      { sources: ["mask", "medusa", "draft", "lookup"], maxRun: 3 },
    ],
    // A stride selects the chain of the paper.
    [{ stride: 3 }, withAdapter, { shape: "chain", stride: 3, maxRun: 2 }],
    [{ stride: 3, shape: "quadratic" }, withAdapter, { shape: "quadratic", stride: 3, maxRun: 2 }],
    [{ stride: 3, shape: "auto" }, withAdapter, { shape: "auto", stride: 3, maxRun: 2 }],
    [{ shape: "tree" }, withAdapter, { shape: "tree", stride: 4, maxRun: 3 }],
    [
      { propose: "mask", shape: "quadratic" },
      withAdapter,
      { sources: ["mask"], shape: "quadratic", stride: 2, maxRun: 1 },
    ],
    // Plain decoding ignores shape and stride.
    [{ propose: "none" }, withAdapter, { propose: "none", sources: [], shape: "plain", stride: 1, maxRun: 0 }],
    [{ stride: 1, shape: "tree" }, withAdapter, { propose: "none", shape: "plain", stride: 1 }],
    // The output depends on the shape, so it is fixed.
    [{ verify: "rejection" }, withAdapter, { shape: "quadratic", stride: 2, verification: { mode: "rejection" } }],
    [{ verify: "relaxed" }, bare, { shape: "chain", stride: 4, verification: { mode: "relaxed", tau: 0.5 } }],
    [{ verify: "relaxed", tau: 0.3, shape: "auto" }, bare, { shape: "chain", verification: { tau: 0.3 } }],
    [{ verify: "exact" }, bare, { shape: "auto", verification: { mode: "exact" } }],
  ])("%j", (request, limits, expected) => {
    expect(roundOptions(request, limits)).toMatchObject(expected);
  });

  it("bounds MASK rows by the adapter's depths", () => {
    expect(() => roundOptions({ stride: 5 }, withAdapter)).toThrow(/stride 5 needs 4 MASK depths/);
    expect(roundOptions({ stride: 8 }, { ...withAdapter, mask: { ...mask, sharedByDepth: true } }).maxRun).toBe(7);
    expect(roundOptions({ stride: 8, propose: "lookup" }, withAdapter)).toMatchObject({ stride: 8, maxRun: 0 });
  });
});
