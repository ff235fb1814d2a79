import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Candidate } from "../round/candidate-tree.ts";
import { type Bid, type Choice, chooseTogether, MARGIN, type StepPrices } from "./joint-choice.ts";
import type { MaskRow } from "../round/mask-runs.ts";

function bid(reaches: readonly number[], masks: readonly number[] = [], nGivenMasks = 0): Bid {
  const candidates = reaches.map((reach, i): Candidate => {
    const own = { token: i, parent: i - 1, source: "mask" as const, rank: 0, confidence: reach, from: undefined };
    return { ...own, depth: i + 1, reach };
  });
  const rows = masks.map((value): MaskRow => ({ anchor: 0, value }));
  return { candidates, nGivenMasks, contextRow: 0, maskRows: () => rows };
}

function prices(proposals: (n: number) => number, maskRows: (n: number) => number = (n) => 100 * n): StepPrices {
  return { proposals, maskRows };
}

const counts = (choices: readonly Choice[]) => choices.map(({ nProposals, maskRows }) => [nProposals, maskRows.length]);

describe("chooseTogether", () => {
  it("chooses the most valuable rows of all sequences, as many as pay", () => {
    const bids = [bid([0.9, 0.5]), bid([0.7]), bid([])];
    expect(
      counts(
        chooseTogether(
          bids,
          prices((n) => 0.6 * n),
          99,
        ),
      ),
    ).toEqual([
      [1, 0],
      [1, 0],
      [0, 0],
    ]);
  });

  it("includes what pays only for all sequences together, and nothing that never pays", () => {
    const dearFirst = prices((n) => (n === 0 ? 0 : 1.5 + 0.1 * n));
    expect(counts(chooseTogether([bid([0.9])], dearFirst, 99))).toEqual([[0, 0]]);
    expect(counts(chooseTogether([bid([0.9]), bid([0.9]), bid([0.9])], dearFirst, 99))).toEqual([
      [1, 0],
      [1, 0],
      [1, 0],
    ]);
    // Each of two is cheap beside the other; both cost more than they are worth.
    const cheapSecond = prices((n) => (n === 0 ? 0 : 1.4 + 0.3 * n));
    expect(counts(chooseTogether([bid([0.9]), bid([0.9])], cheapSecond, 99))).toEqual([
      [0, 0],
      [0, 0],
    ]);
  });

  it("charges the reading of the adapter to all MASK rows together", () => {
    const bytes = prices(
      () => 0,
      (n) => (n === 0 ? 0 : 0.5 + 0.1 * n),
    );
    expect(counts(chooseTogether([bid([], [0.4])], bytes, 99))).toEqual([[0, 0]]);
    const both = chooseTogether([bid([], [0.4]), bid([], [0.4, 0.05])], bytes, 99);
    expect(counts(both)).toEqual([
      [0, 1],
      [0, 1],
    ]);
    for (const { masksPrice } of both) expect(masksPrice).toBeCloseTo(0.35);
  });

  it("includes given MASK rows, and others that pay beside them", () => {
    const bids = [bid([0.1, 0.1], [0.1], 3), bid([0.3])];
    const costs = prices(
      (n) => 0.2 * n,
      (n) => 0.2 * n,
    );
    expect(counts(chooseTogether(bids, costs, 99))).toEqual([
      [0, 1],
      [1, 0],
    ]);
  });

  it("is optimal among all prefixes, within its rows, and splits the price", () => {
    const share = fc.integer({ min: 0, max: 1000 }).map((n) => n / 1000);
    const reaches = fc.array(share, { maxLength: 4 });
    const steps = fc.array(share, { minLength: 12, maxLength: 12 });
    fc.assert(
      fc.property(fc.array(reaches, { maxLength: 3 }), steps, fc.nat(12), (lists, increments, most) => {
        const sorted = lists.map((list) => [...list].sort((a, b) => b - a));
        const proposals = (n: number) => increments.slice(0, n).reduce((sum, step) => sum + step, 0);
        const gainOf = (numbers: readonly number[]) => {
          const values = numbers.map((n, i) => (sorted[i] ?? []).slice(0, n).reduce((sum, value) => sum + value, 0));
          const worth = values.reduce((sum, value) => sum + value, 0);
          return worth / MARGIN - proposals(numbers.reduce((sum, n) => sum + n, 0));
        };
        const all = sorted.reduce<number[][]>(
          (before, list) => before.flatMap((own) => Array.from({ length: list.length + 1 }, (_, n) => [...own, n])),
          [[]],
        );
        const allowed = all.filter((numbers) => numbers.reduce((sum, n) => sum + n, 0) <= most);
        const best = Math.max(...allowed.map(gainOf));
        const choices = chooseTogether(
          sorted.map((list) => bid(list)),
          prices(proposals),
          most,
        );
        const chosen = choices.map(({ nProposals }) => nProposals);
        expect(chosen.reduce((sum, n) => sum + n, 0)).toBeLessThanOrEqual(most);
        expect(gainOf(chosen)).toBeCloseTo(best, 9);
        const paid = choices.reduce((sum, { proposalsPrice }) => sum + proposalsPrice, 0);
        expect(paid).toBeCloseTo(proposals(chosen.reduce((sum, n) => sum + n, 0)), 9);
      }),
      { numRuns: 300 },
    );
  });
});
