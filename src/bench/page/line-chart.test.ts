import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { lineChart, linearTicks, logTicks } from "./line-chart.ts";

describe("ticks", () => {
  it("are a few round numbers within the range", () => {
    expect(linearTicks(0, 1)).toEqual([0, 0.2, 0.4, 0.6, 0.8, 1]);
    expect(linearTicks(2.1, 3.9)).toEqual([2.5, 3, 3.5]);
    expect(logTicks(1, 1000)).toEqual([1, 10, 100, 1000]);
    expect(logTicks(1, 40)).toEqual([1, 2, 5, 10, 20]);
    expect(logTicks(1.7e10, 5.5e11)).toEqual([2e10, 5e10, 1e11, 2e11, 5e11]);
    const range = fc.tuple(
      fc.double({ min: -1e6, max: 1e6, noNaN: true }),
      fc.double({ min: 1e-3, max: 1e6, noNaN: true }),
    );
    fc.assert(
      fc.property(range, ([low, size]) => {
        const ticks = linearTicks(low, low + size);
        expect(ticks.length).toBeGreaterThan(1);
        expect(ticks.length).toBeLessThan(8);
        for (const tick of ticks)
          expect(Math.abs(tick - low - size / 2)).toBeLessThanOrEqual(size / 2 + 1e-6 * size + 1e-5);
      }),
    );
  });
});

describe("lineChart", () => {
  const text = lineChart("Loss <1>", { label: "rows" }, { label: "loss" }, [
    {
      name: "a & b",
      points: [
        [0, 0],
        [10, 1],
      ],
    },
    {
      name: "dashed",
      points: [
        [0, 1],
        [10, 1],
      ],
      isDashed: true,
    },
    { name: "dots", points: [[5, 0.5]], isScatter: true, labels: ["here"] },
  ]);

  it("places points on both axes, and names series", () => {
    const [first = "", second = ""] = [...text.matchAll(/points="([^"]+)"/g)].map(([, points]) => points);
    const coordinates = (points: string) => points.split(" ").map((point) => point.split(",").map(Number));
    const [[x0 = 0, y0 = 0] = [], [x1 = 0, y1 = 0] = []] = coordinates(first);
    expect(x0).toBeLessThan(x1);
    // Upwards is towards 0.
    expect(y0).toBeGreaterThan(y1);
    expect(coordinates(second)).toEqual([
      [x0, y1],
      [x1, y1],
    ]);
    expect(text).toContain('class="s1 dashed"');
    expect(text).toContain(`cx="${(x0 + x1) / 2}" cy="${(y0 + y1) / 2}"`);
    expect(text).toMatch(/>a &amp; b<[\s\S]*>dashed<[\s\S]*>here<[\s\S]*>dots</);
    expect(text).toContain('aria-label="Loss &lt;1&gt;"');
  });

  it("moves names apart that would overlap", () => {
    const ends = [...text.matchAll(/y="([\d.]+)">(?:a &amp; b|dashed)</g)].map(([, y]) => Number(y));
    expect(Math.abs((ends[0] ?? 0) - (ends[1] ?? 0))).toBeGreaterThanOrEqual(16);
  });
});
