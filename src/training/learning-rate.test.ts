import { describe, expect, it } from "vitest";
import { learningRateFactor } from "./learning-rate.ts";

describe("learningRateFactor", () => {
  it("rises over 3 % of the steps, then follows half a cosine", () => {
    const nSteps = 200;
    for (let step = 1; step <= nSteps; step++) {
      const expected = Math.min(1, step / (0.03 * nSteps)) * (0.5 + 0.5 * Math.cos((Math.PI * (step - 1)) / nSteps));
      expect(learningRateFactor((step - 1) / nSteps, step / nSteps)).toBeCloseTo(expected, 12);
    }
    expect(learningRateFactor(0, 1)).toBe(1);
    expect(learningRateFactor(1.5, 1.6)).toBeCloseTo(0, 12);
  });
});
