import { describe, expect, it } from "vitest";
import { matchesWithin, PatternError } from "./file-pattern.ts";
import { threadCpuMs } from "./thread-cpu.ts";

/** Exponential in the length of the text: for 40 characters, years. */
const slow = ["^(?:a+)+$", "g", [`${"a".repeat(40)}b`]] as const;

describe("matchesWithin", () => {
  it("gives index and length of the matches in each text", () => {
    expect(matchesWithin(250, "b+", "g", ["abba", "", "b"])).toEqual([[1, 2], [], [0, 1]]);
  });

  it("rejects an invalid pattern, and one that takes too long", () => {
    expect(() => matchesWithin(250, "(", "g", [""])).toThrow(new PatternError("an invalid one"));
    expect(() => matchesWithin(20, ...slow)).toThrow(new PatternError("one that takes too long"));
  });

  it("tries again as long as the machine had no time for it", () => {
    // Too little is computed in three attempts, and enough in the fourth.
    const readings = [0, 0, 0, 4, 4, 8, 8, 13];
    let nReadings = 0;
    const clock = () => readings[nReadings++] ?? Number.NaN;
    expect(() => matchesWithin(20, ...slow, clock)).toThrow(new PatternError("one that takes too long"));
    expect(nReadings).toBe(readings.length);
  });
});

describe("threadCpuMs", () => {
  it("grows with what the thread computes", () => {
    const before = threadCpuMs();
    let sum = 0;
    for (let i = 0; threadCpuMs() === before && i < 1e6; i++) sum += Math.sqrt(i);
    expect(threadCpuMs()).toBeGreaterThan(before);
    expect(sum).toBeGreaterThan(0);
  });
});
