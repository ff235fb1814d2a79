import { expect, it } from "vitest";
import { median, spread } from "./statistics.ts";

it("median", () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 3, 2])).toBe(2.5);
});

it("spread", () => {
  expect(spread([1, 2, 3, 4, 5, 6, 7, 8])).toEqual({ median: 4.5, low: 3, high: 7 });
});
