import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { RoundStarts } from "./round-starts.ts";

describe("RoundStarts", () => {
  const spans = [{ first: 10, end: 60 }];

  it("follows the rounds that decoding with the same acceptance would have", () => {
    const starts = new RoundStarts(1, 1);
    const accepted = (anchor: number) => anchor % 3;
    const seen: number[] = [];
    for (let step = 0; step < 12; step++) {
      seen.push(...starts.choose(step, 0, spans, 1));
      starts.advance(0, accepted);
    }
    const expected = [10];
    while (expected.length < 12) expected.push((expected.at(-1) ?? 0) + accepted(expected.at(-1) ?? 0) + 1);
    expect(seen).toEqual(expected);
  });

  it("goes on at the next response where one has ended", () => {
    const starts = new RoundStarts(1, 1);
    const turns = [
      { first: 2, end: 4 },
      { first: 9, end: 11 },
    ];
    const seen = Array.from({ length: 4 }, (_, step) => {
      const [anchor = -1] = starts.choose(step, 0, turns, 1);
      starts.advance(0, () => 0);
      return anchor;
    });
    expect(seen).toEqual([2, 3, 9, 10]);
  });

  it("chooses different anchors of the range, as many as there are", () => {
    const settings = fc.record({
      seed: fc.nat(),
      nWalks: fc.integer({ min: 0, max: 6 }),
      count: fc.integer({ min: 1, max: 20 }),
      size: fc.integer({ min: 0, max: 30 }),
    });
    fc.assert(
      fc.property(settings, ({ seed, nWalks, count, size }) => {
        const starts = new RoundStarts(seed, nWalks);
        for (let step = 0; step < 10; step++) {
          const chosen = starts.choose(step, 5, size === 0 ? [] : [{ first: 4, end: 4 + size }], count);
          expect(chosen).toHaveLength(Math.min(count, size));
          expect([...new Set(chosen)].sort((a, b) => a - b)).toEqual(chosen);
          expect(chosen.every((anchor) => anchor >= 4 && anchor < 4 + size)).toBe(true);
          starts.advance(5, (anchor) => anchor % 4);
        }
      }),
    );
  });

  it("goes on from its state as if it had not been interrupted", () => {
    const one = new RoundStarts(9, 4);
    const accepted = (anchor: number) => (anchor * 7) % 4;
    for (let step = 0; step < 5; step++) {
      one.choose(step, 2, spans, 8);
      one.advance(2, accepted);
    }
    const other = new RoundStarts(9, 4, one.state.slice());
    expect(other.choose(5, 2, spans, 8)).toEqual(one.choose(5, 2, spans, 8));
    one.restart(2);
    expect(one.choose(6, 2, spans, 8)).toContain(10);
  });
});
