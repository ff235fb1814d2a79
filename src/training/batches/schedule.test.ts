import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ACTIVE_SEQUENCES, Schedule, SEQUENCES_PER_STEP } from "./schedule.ts";

const steps = (from: number, count: number) => Array.from({ length: count }, (_, i) => from + i);

describe("Schedule", () => {
  it("visits every row of an epoch equally often, in an order that the seed decides", () => {
    const [nRows, visits] = [64, 8];
    // 64 rows of 8 visits, and as many steps again for rows whose visits began before the first step.
    const schedule = new Schedule(1, nRows, visits);
    const counts = new Array<number>(nRows).fill(0);
    for (const step of steps(0, (nRows * visits) / SEQUENCES_PER_STEP)) {
      for (const { row } of schedule.visits(step)) counts[row] = (counts[row] ?? 0) + 1;
    }
    expect(counts.reduce((a, b) => a + b, 0)).toBe(nRows * visits);
    expect(Math.min(...counts)).toBeGreaterThan(0);
    const rows = (seed: number) => steps(0, 8).flatMap((step) => new Schedule(seed, nRows, visits).visits(step));
    expect(rows(1)).not.toEqual(rows(2));
  });

  it("is a function of the step, and marks the first visit of a slot's row", () => {
    fc.assert(
      fc.property(
        fc.nat(),
        fc.integer({ min: 1, max: 200 }),
        fc.integer({ min: 1, max: 12 }),
        (seed, nRows, visits) => {
          const schedule = new Schedule(seed, nRows, visits);
          const before = new Map<number, number>();
          for (const step of steps(0, 60)) {
            const found = schedule.visits(step);
            expect(new Schedule(seed, nRows, visits).visits(step)).toEqual(found);
            expect(found).toHaveLength(SEQUENCES_PER_STEP);
            for (const { slot, row, isFirst } of found) {
              expect(row).toBeLessThan(nRows);
              if (!isFirst) expect(before.get(slot)).toBe(row);
              before.set(slot, row);
            }
          }
        },
      ),
      { numRuns: 30 },
    );
  });

  it("replaces few of the active sequences at a time", () => {
    const schedule = new Schedule(3, 500, 8);
    const firsts = steps(8, 64).map((step) => schedule.visits(step).filter(({ isFirst }) => isFirst).length);
    expect(Math.max(...firsts)).toBeLessThanOrEqual(1);
    expect(firsts.reduce((a, b) => a + b, 0)).toBe(ACTIVE_SEQUENCES);
  });
});
