import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { RepeatedRun } from "./repeated-run.ts";

/** Where the first run that comes a second time begins again, by comparing all runs. */
function repeatedAt(tokens: readonly number[], nTokens: number): number | undefined {
  const run = (start: number) => tokens.slice(start, start + nTokens).join();
  for (let second = 1; second + nTokens <= tokens.length; second++) {
    for (let first = 0; first < second; first++) if (run(first) === run(second)) return second;
  }
  return undefined;
}

describe("RepeatedRun", () => {
  it("finds the second of two same runs as soon as it is complete", () => {
    const tokens = fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 60 });
    fc.assert(
      fc.property(tokens, fc.integer({ min: 1, max: 5 }), (sequence, nTokens) => {
        const runs = new RepeatedRun(nTokens);
        const expected = repeatedAt(sequence, nTokens);
        for (const [i, token] of sequence.entries()) {
          const found = runs.push(token);
          const isComplete = expected !== undefined && i + 1 === expected + nTokens;
          expect(found).toBe(isComplete ? expected : undefined);
          if (isComplete) return;
        }
        expect(expected).toBeUndefined();
      }),
    );
  });

  it("finds the beginning of a loop", () => {
    const runs = new RepeatedRun(12);
    const loop = [7, 8, 9];
    const found = Array.from({ length: 40 }, (_, i) => runs.push(i < 5 ? 100 + i : (loop[(i - 5) % 3] as number)));
    expect(found.find((at) => at !== undefined)).toBe(8);
  });
});
