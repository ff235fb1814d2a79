import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { bfloat16ToFloat, floatToBfloat16, floatToHalf, halfToFloat } from "./half.ts";

/** All 65,536 bit patterns. */
const patterns = Array.from({ length: 65_536 }, (_, bits) => bits);

describe("half", () => {
  it("round-trips through float for every pattern", () => {
    for (const bits of patterns) {
      const value = halfToFloat(bits);
      if (!Number.isNaN(value)) expect(floatToHalf(value), `pattern ${bits}`).toBe(bits);
      else expect(halfToFloat(floatToHalf(value))).toBeNaN();
    }
  });

  it("converts the format's known values", () => {
    expect(halfToFloat(0x3c00)).toBe(1);
    expect(halfToFloat(0xc000)).toBe(-2);
    expect(halfToFloat(0x7bff)).toBe(65_504);
    expect(halfToFloat(0x0400)).toBe(2 ** -14);
    expect(halfToFloat(0x0001)).toBe(2 ** -24);
    expect(Object.is(halfToFloat(0x8000), -0)).toBe(true);
  });

  it("rounds to the nearest, ties to even, compared with both neighbours", () => {
    fc.assert(
      fc.property(fc.float({ noNaN: true }), (value) =>
        expectNearest(value, floatToHalf(value), halfToFloat, 0x7c00, 65_520),
      ),
      { numRuns: 2000 },
    );
    // Ties between neighbours, among normals and subnormals.
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0x7bfe }), (bits) => {
        const middle = (halfToFloat(bits) + halfToFloat(bits + 1)) / 2;
        expect(floatToHalf(middle)).toBe(bits % 2 === 0 ? bits : bits + 1);
      }),
    );
  });
});

describe("bfloat16", () => {
  it("round-trips through float for every pattern", () => {
    for (const bits of patterns) {
      const value = bfloat16ToFloat(bits);
      if (!Number.isNaN(value)) expect(floatToBfloat16(value), `pattern ${bits}`).toBe(bits);
      else expect(bfloat16ToFloat(floatToBfloat16(value))).toBeNaN();
    }
  });

  it("rounds to the nearest, ties to even", () => {
    const beyond = 2 ** 128 - 2 ** 119; // half a step above the largest finite bfloat16
    fc.assert(
      fc.property(fc.float({ noNaN: true }), (value) =>
        expectNearest(value, floatToBfloat16(value), bfloat16ToFloat, 0x7f80, beyond),
      ),
      { numRuns: 2000 },
    );
  });
});

function expectNearest(
  value: number,
  bits: number,
  decode: (bits: number) => number,
  infinity: number,
  beyond: number,
): void {
  const magnitude = bits & 0x7fff;
  expect(bits >> 15).toBe(value < 0 || Object.is(value, -0) ? 1 : 0);
  if (magnitude === infinity) {
    expect(Math.abs(value)).toBeGreaterThanOrEqual(beyond);
    return;
  }
  const distance = (pattern: number) => Math.abs(decode(pattern) - Math.abs(value));
  if (magnitude > 0) expect(distance(magnitude)).toBeLessThanOrEqual(distance(magnitude - 1));
  if (magnitude + 1 < infinity) expect(distance(magnitude)).toBeLessThanOrEqual(distance(magnitude + 1));
}
