import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Random, Stream } from "./random.ts";

describe("Random", () => {
  it("gives different numbers to every seed, stream and counter, and the same ones again", () => {
    const keys: ConstructorParameters<typeof Random>[] = [
      [1, Stream.order, 0, 0],
      [2, Stream.order, 0, 0],
      [1, Stream.anchors, 0, 0],
      [1, Stream.order, 1, 0],
      [1, Stream.order, 0, 1],
      [1 + 2 ** 32, Stream.order, 0, 0],
    ];
    const firsts = keys.map((key) => new Random(...key).uniform());
    expect(new Set(firsts).size).toBe(keys.length);
    expect(keys.map((key) => new Random(...key).uniform())).toEqual(firsts);
  });

  it("has the mean and the variance of the distributions", () => {
    const n = 20_000;
    const moments = (draw: (random: Random) => number) => {
      const random = new Random(7, Stream.parameters);
      const values = Array.from({ length: n }, () => draw(random));
      const mean = values.reduce((a, b) => a + b, 0) / n;
      return { mean, variance: values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / n };
    };
    // Six standard errors.
    const uniform = moments((random) => random.uniform());
    expect(Math.abs(uniform.mean - 0.5)).toBeLessThan(6 * Math.sqrt(1 / 12 / n));
    expect(uniform.variance).toBeCloseTo(1 / 12, 2);
    const normal = moments((random) => random.normal());
    expect(Math.abs(normal.mean)).toBeLessThan(6 / Math.sqrt(n));
    expect(normal.variance).toBeCloseTo(1, 1);
  });

  it("draws distinct numbers in order, and permutations", () => {
    fc.assert(
      fc.property(fc.nat(), fc.integer({ min: 0, max: 50 }), fc.integer({ min: 0, max: 50 }), (seed, count, n) => {
        const drawn = new Random(seed, Stream.anchors).distinct(count, n);
        expect(drawn).toHaveLength(Math.min(count, n));
        expect([...new Set(drawn)].sort((a, b) => a - b)).toEqual(drawn);
        expect(drawn.every((x) => x >= 0 && x < n)).toBe(true);
        const order = new Random(seed, Stream.order).permutation(n);
        expect(order.sort((a, b) => a - b)).toEqual(Array.from({ length: n }, (_, i) => i));
      }),
    );
  });
});
