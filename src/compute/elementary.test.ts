import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { exp, ln, power, sineCosine } from "./elementary.ts";

/** Math's functions are within one or two ulps; ours within 1e-15 of the value. */
function near(found: number, expected: number, tolerance = 2e-15): void {
  expect(Math.abs(found - expected)).toBeLessThanOrEqual(tolerance * Math.max(Math.abs(expected), Number.MIN_VALUE));
}

describe("elementary functions agree with Math", () => {
  it("exp", () => {
    fc.assert(fc.property(fc.double({ min: -600, max: 600, noNaN: true }), (x) => near(exp(x), Math.exp(x))));
    expect(exp(0)).toBe(1);
  });
  it("ln", () => {
    fc.assert(fc.property(fc.double({ min: 1e-300, max: 1e300, noNaN: true }), (x) => near(ln(x), Math.log(x))));
    expect(ln(1)).toBe(0);
    expect(ln(0)).toBe(Number.NEGATIVE_INFINITY);
    expect(ln(-1)).toBeNaN();
  });
  it("power, as rotary frequencies need it", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1000, max: 10_000_000 }), fc.double({ min: -1, max: 0, noNaN: true }), (b, e) =>
        near(power(b, e), b ** e, 2e-14),
      ),
    );
  });
  it("sine and cosine", () => {
    fc.assert(
      fc.property(fc.double({ min: -1e6, max: 1e6, noNaN: true }), (x) => {
        const [s, c] = sineCosine(x);
        expect(Math.abs(s - Math.sin(x))).toBeLessThan(1e-15 * 4);
        expect(Math.abs(c - Math.cos(x))).toBeLessThan(1e-15 * 4);
      }),
    );
  });
});
