import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { resultOf } from "../../../test/support/proposing.ts";
import { AcceptanceModel, SequenceAcceptance } from "../controller/acceptance-model.ts";
import { bestPrefix } from "../round/best-prefix.ts";
import { growTree } from "../round/candidate-tree.ts";
import { maskRowsByValue, runLengths } from "../round/mask-runs.ts";
import type { PlanContext } from "./planner.ts";
import type { Proposer } from "../proposers/proposer.ts";
import type { ProposerKind } from "../proposers/registry.ts";
import { proposalDepths } from "../round/round.ts";
import { StaticTreePlanner } from "./static-tree-planner.ts";
import { TreePlanner } from "./tree-planner.ts";

/** Proposes `width` tokens at any path up to `depth`, with confidences that decrease by rank. */
function proposer(kind: ProposerKind, firstToken: number, depth = 3, confidence = 0.5): Proposer {
  return {
    kind,
    observe: () => {},
    candidates: (path, count) => {
      const n = path.length < depth ? count : 0;
      return {
        tokens: Int32Array.from({ length: n }, (_, rank) => firstToken + rank),
        confidences: Float32Array.from({ length: n }, (_, rank) => confidence / 2 ** rank),
      };
    },
  };
}

const context = (more: Partial<PlanContext> = {}): PlanContext => ({
  proposers: [proposer("mask", 0)],
  remaining: 100,
  maxRows: 64,
  maxRun: 3,
  position: 10,
  ...more,
});
const own = () => new SequenceAcceptance(new AcceptanceModel());

describe("growTree", () => {
  it("contains the nodes of largest reach", () => {
    const arbitrary = fc.record({
      kinds: fc.uniqueArray(fc.constantFrom("mask" as const, "lookup" as const, "draft" as const), { minLength: 1 }),
      width: fc.integer({ min: 1, max: 4 }),
      depth: fc.integer({ min: 1, max: 4 }),
      nCandidates: fc.nat(30),
      confidence: fc.double({ min: 0, max: 1, noNaN: true }),
    });
    fc.assert(
      fc.property(arbitrary, ({ kinds, width, depth, nCandidates, confidence }) => {
        const proposers = kinds.map((kind, i) => proposer(kind, i * 2, 3, confidence));
        const limits = { width, depth, nCandidates, leastReach: 0, anchorCost: 0 };
        const { candidates, proposed } = resultOf(growTree(proposers, own(), limits));
        candidates.forEach(({ parent, reach, depth: at }, i) => {
          expect(parent).toBeLessThan(i);
          expect(reach).toBeLessThanOrEqual(candidates[parent]?.reach ?? 1);
          expect(reach).toBeLessThanOrEqual(candidates[i - 1]?.reach ?? 1);
          expect(at).toBe((candidates[parent]?.depth ?? 0) + 1);
        });
        const taken = new Set(candidates);
        const min = candidates.at(-1)?.reach ?? 1;
        for (const { candidates: offered } of proposed) {
          // Siblings differ, and their reach is at most that of their anchor.
          expect(new Set(offered.map(({ token }) => token)).size).toBe(offered.length);
          const anchor = candidates[offered[0]?.parent ?? -1]?.reach ?? 1;
          expect(offered.reduce((sum, { reach }) => sum + reach, 0)).toBeLessThanOrEqual(anchor + 1e-9);
          for (const candidate of offered) {
            if (candidates.length > 0 && !taken.has(candidate)) expect(candidate.reach).toBeLessThanOrEqual(min);
          }
        }
      }),
    );
  });
});

it("bestPrefix includes an expensive first row if the next ones are nearly free", () => {
  expect(bestPrefix([0.5, 0.4, 0.3], (n) => n * 0.35, 9)).toBe(2);
  expect(bestPrefix([0.5, 0.4, 0.3], (n) => n * 0.6, 9)).toBe(0);
  expect(bestPrefix([0.5, 0.4, 0.3], (n) => 0.9 + n * 0.01, 9)).toBe(3);
  expect(bestPrefix([0.5, 0.4, 0.3], () => 0, 2)).toBe(2);
});

it("MASK rows are sorted by value, those of a run in order", () => {
  const anchors = [
    { ends: 0.6, longest: 3 },
    { ends: 0.1, longest: 3 },
    { ends: 0.3, longest: 1 },
  ];
  const rows = maskRowsByValue(anchors, [0.5, 0.3, 0.1]);
  expect(rows.map(({ value }) => value)).toEqual([...rows.map(({ value }) => value)].sort((a, b) => b - a));
  expect(runLengths(rows.slice(0, 4), 3)).toEqual([3, 0, 1]);
  expect(runLengths(rows.slice(0, 5), 3)).toEqual([3, 1, 1]);
  expect(runLengths(rows, 3)).toEqual([3, 3, 1]);
  // A later row of a run is worth at most as much as the rows before it.
  expect(maskRowsByValue([{ ends: 1, longest: 2 }], [0.2, 0.5]).map(({ value }) => value)).toEqual([0.2, 0.2]);
});

describe("TreePlanner", () => {
  it("keeps within its rows, the stride and the remaining tokens", () => {
    const arbitrary = fc.record({
      stride: fc.integer({ min: 2, max: 8 }),
      remaining: fc.integer({ min: 1, max: 12 }),
      maxRows: fc.integer({ min: 1, max: 40 }),
      maxRun: fc.nat(7),
      rows: fc.nat(12),
    });
    fc.assert(
      fc.property(arbitrary, ({ stride, remaining, maxRows, maxRun, rows }) => {
        const planners = [
          new TreePlanner({ acceptance: own(), stride, width: 3, maxProposals: rows, maxMaskRows: 2 * rows }),
          new StaticTreePlanner({ stride, maxProposals: rows, maxMaskRows: 2 * rows }),
        ];
        for (const planner of planners) {
          const { proposals, maskRuns } = resultOf(planner.plan(context({ remaining, maxRows, maxRun })));
          const nMasks = maskRuns.reduce((sum, n) => sum + n, 0);
          expect(proposals.length).toBeLessThanOrEqual(rows);
          expect(nMasks).toBeLessThanOrEqual(2 * rows);
          expect(1 + proposals.length + nMasks).toBeLessThanOrEqual(maxRows);
          const depths = [0, ...proposalDepths(proposals)];
          expect(maskRuns.length).toBe(depths.length);
          depths.forEach((depth, i) => {
            expect(depth).toBeLessThan(Math.min(stride, remaining));
            const run = maskRuns[i] ?? 0;
            expect(run).toBeLessThanOrEqual(Math.min(stride - 1, maxRun));
            if (run > 0) expect(depth + run + 2).toBeLessThanOrEqual(remaining);
          });
        }
      }),
    );
  });

  it("learns from all candidates at accepted anchors, included or not", () => {
    const acceptance = own();
    const planner = new TreePlanner({ acceptance, stride: 3, width: 2, maxProposals: 1, maxMaskRows: 0 });
    const before = acceptance.estimate({ source: "mask", rank: 1, confidence: 0.25 });
    for (let i = 0; i < 20; i++) {
      const shape = resultOf(planner.plan(context()));
      expect(shape.proposals.map(({ token }) => token)).toEqual([i === 0 ? 0 : expect.any(Number)]);
      planner.learn(shape, [], [1]);
    }
    expect(acceptance.estimate({ source: "mask", rank: 1, confidence: 0.25 })).toBeGreaterThan(before + 0.3);
    // So the second candidate is now preferred.
    expect(resultOf(planner.plan(context())).proposals.map(({ rank }) => rank)).toEqual([1]);
  });

  it("prefers the tokens of a reliable proposer", () => {
    const planner = new TreePlanner({ acceptance: own(), stride: 4, width: 1, maxProposals: 3, maxMaskRows: 0 });
    const proposers = [proposer("mask", 0, 3, 0.1), proposer("predicted", 5, 3, 0.99)];
    const { proposals } = resultOf(planner.plan(context({ proposers })));
    expect(proposals.map(({ source, parent }) => [source, parent])).toEqual([
      ["predicted", -1],
      ["predicted", 0],
      ["predicted", 1],
    ]);
  });
});

describe("StaticTreePlanner", () => {
  it("has the same shape for any draws and confidences", () => {
    const formOf = (offer: Proposer) => {
      const planner = new StaticTreePlanner({ stride: 4, maxProposals: 6, maxMaskRows: 12 });
      const { proposals, maskRuns } = resultOf(planner.plan(context({ proposers: [offer] })));
      return { maskRuns, form: proposals.map(({ parent, rank }) => [parent, rank]) };
    };
    const form = formOf(proposer("mask", 0, 3, 0.9));
    expect(formOf(proposer("mask", 70, 3, 0.01))).toEqual(form);
    expect(form.form).toEqual([
      [-1, 0],
      [0, 0],
      [1, 0],
      [0, 1],
      [-1, 1],
      [4, 0],
    ]);
  });
});
