import fc from "fast-check";
import { expect, it } from "vitest";
import { makePlan, type MeasuredSpeeds, trainSeconds } from "./plan.ts";

const speeds: MeasuredSpeeds = { writeTokensPerSecond: 2000, trainRowsPerSecond: 3000, plainTokensPerSecond: 300 };
const anySpeeds = fc.record({
  writeTokensPerSecond: fc.double({ min: 0.1, max: 1e5, noNaN: true }),
  trainRowsPerSecond: fc.double({ min: 0.1, max: 1e6, noNaN: true }),
  plainTokensPerSecond: fc.double({ min: 0.1, max: 1e4, noNaN: true }),
});
const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);

it("splits an hour", () => {
  const { seconds, variants, writeTokens } = makePlan(1, 20, speeds);
  expect(seconds).toEqual({ machine: 20, write: 1260, settings: 360, train: 1672, verify: 144, bench: 144 });
  expect({ variants, writeTokens }).toEqual({ variants: 4, writeTokens: 2_500_000 });
});

it("compares no settings where that would say nothing", () => {
  const { variants, seconds } = makePlan(1, 20, { ...speeds, trainRowsPerSecond: 80 });
  expect({ variants, settings: seconds.settings }).toEqual({ variants: 0, settings: 0 });
});

it("uses all of the hours, if measuring the machine leaves enough of them", () => {
  fc.assert(
    fc.property(fc.double({ min: 0.001, max: 8760, noNaN: true }), anySpeeds, (hours, found) => {
      const plan = makePlan(hours, 0.2 * hours * 3600, found);
      expect(sum(Object.values(plan.seconds))).toBeCloseTo(hours * 3600, 3);
    }),
  );
});

it("gives training what the stages before it left, and at least a quarter", () => {
  const plan = makePlan(1, 20, speeds);
  expect(trainSeconds(1, 20 + 1260 + 360, plan)).toBeCloseTo(plan.seconds.train);
  expect(trainSeconds(1, 20 + 600 + 360, plan)).toBeCloseTo(plan.seconds.train + 660);
  expect(trainSeconds(1, 5000, plan)).toBe(900);
});
