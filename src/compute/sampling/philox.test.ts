import { describe, expect, it } from "vitest";
import { gumbel, noiseKey, Purpose, philox2, philox4 } from "./philox.ts";

const ONES = 0xffff_ffff;

// Known answers of Random123 (kat_vectors).
describe("Philox", () => {
  it.each([
    [
      [0, 0, 0, 0],
      [0, 0],
      [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
    ],
    [
      [ONES, ONES, ONES, ONES],
      [ONES, ONES],
      [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
    ],
    [
      [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      [0xa4093822, 0x299f31d0],
      [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
    ],
  ])("4x32-10 of %j under %j", (counter, key, answer) => {
    expect(philox4(counter, key)).toEqual(answer);
  });

  it.each([
    [0, 0, 0, [0xff1dae59, 0x6cd10df2]],
    [ONES, ONES, ONES, [0x2c3f628b, 0xab4fd7ad]],
    [0x243f6a88, 0x85a308d3, 0x13198a2e, [0xdd7ce038, 0xf62a4c12]],
  ])("2x32-10 of %i, %i under %i", (a, b, key, answer) => {
    expect(philox2(a, b, key)).toEqual(answer);
  });
});

describe("noise", () => {
  it("has a separate key for every seed, position, choice and purpose, beyond 32 bits, too", () => {
    const keys = new Set<string>();
    const large = [0, 1, 2, 2 ** 31, 2 ** 32, 2 ** 32 + 1, 2 ** 52];
    for (const seed of large) {
      for (const position of large) {
        for (const choice of [0, 1, 2 ** 31 - 1]) {
          for (const purpose of Object.values(Purpose)) {
            const { key, word } = noiseKey(seed, position, choice, purpose);
            keys.add(`${key} ${word}`);
          }
        }
      }
    }
    expect(keys.size).toBe(large.length ** 2 * 3 * 6);
  });

  it("Gumbel noise has the right moments, and is always finite", () => {
    const n = 40_000;
    const key = noiseKey(11, 5, 0, Purpose.draw);
    const values = Array.from({ length: n }, (_, token) => gumbel(key, token));
    const mean = values.reduce((sum, value) => sum + value, 0) / n;
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / n;
    // Five standard errors: of the mean π/√(6n); of the variance (π²/6)·√(4.4/n), the kurtosis being 5.4.
    const exactVariance = Math.PI ** 2 / 6;
    expect(Math.abs(mean - 0.577215664901533)).toBeLessThan(5 * Math.sqrt(exactVariance / n));
    expect(Math.abs(variance - exactVariance)).toBeLessThan(5 * exactVariance * Math.sqrt(4.4 / n));
    expect(values.every(Number.isFinite)).toBe(true);
  });
});
