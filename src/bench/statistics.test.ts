import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { median, medianInterval, spread } from "./statistics.ts";

it("median", () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 3, 2])).toBe(2.5);
});

it("spread", () => {
  expect(spread([1, 2, 3, 4, 5, 6, 7, 8])).toEqual({ median: 4.5, low: 3, high: 7 });
});

it("medianInterval is that of the sign test", () => {
  const upTo = (n: number) => Array.from({ length: n }, (_, i) => n - i);
  expect(medianInterval(upTo(5))).toEqual({ median: 3, low: 1, high: 5 });
  // 2 / 2^6 = 3 %; with one more inside it would be 22 %.
  expect(medianInterval(upTo(6))).toEqual({ median: 3.5, low: 1, high: 6 });
  expect(medianInterval(upTo(9))).toEqual({ median: 5, low: 2, high: 8 });
  // Values from tables of the sign test.
  expect(medianInterval(upTo(20))).toEqual({ median: 10.5, low: 6, high: 15 });
  expect(medianInterval(upTo(25))).toEqual({ median: 13, low: 8, high: 18 });
});

describe("median", () => {
  it("has at most half of the values on each side", () => {
    fc.assert(
      fc.property(fc.array(fc.integer(), { minLength: 1 }), (values) => {
        const middle = median(values);
        const below = values.filter((value) => value < middle).length;
        const above = values.filter((value) => value > middle).length;
        expect(Math.max(below, above) * 2).toBeLessThanOrEqual(values.length);
      }),
    );
  });
});
