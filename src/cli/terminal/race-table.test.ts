import { describe, expect, it } from "vitest";
import { type Competitor, figures, type Lap, raceTable, sameBytes, speedOf } from "./race-table.ts";

const lap = (changes: Partial<Lap> = {}): Lap => ({
  text: "abc",
  tokens: [1, 2, 3, 4, 5],
  sha256: "aa",
  forwards: 4,
  tokensPerForward: 1.25,
  acceptanceByDepth: [0.5, 0.25],
  rounds: [
    { proposals: 1, maskRows: 2, rounds: 3 },
    { proposals: 0, maskRows: 0, rounds: 1 },
  ],
  prefillMs: 3,
  decodeMs: 8,
  steps: [],
  ...changes,
});
const plain = (...laps: Lap[]): Competitor => ({ name: "plain", laps });
const proposing = (...laps: Lap[]): Competitor => ({ name: "proposing", laps });

describe("speedOf", () => {
  it("excludes the first token, which comes from the prefill", () => {
    expect(speedOf(lap())).toBe(500);
    expect(speedOf(lap({ tokens: [1] }))).toBe(0);
    expect(speedOf(lap({ decodeMs: 0 }))).toBe(0);
  });
});

describe("a race", () => {
  it("reports the median speed", () => {
    const laps = [8, 4, 16].map((decodeMs) => lap({ decodeMs }));
    expect(figures(plain(...laps))).toMatchObject({
      tokensPerSecond: 500,
      tokensPerSecondByRound: [500, 1000, 250],
      tokens: 5,
    });
  });

  it("has the same bytes only if every lap has", () => {
    expect(sameBytes([plain(lap(), lap()), proposing(lap())])).toBe(true);
    expect(sameBytes([plain(lap(), lap({ sha256: "bb" })), proposing(lap())])).toBe(false);
    expect(sameBytes([plain(lap()), proposing(lap({ tokens: [1, 2, 3, 4, 6] }))])).toBe(false);
  });

  it("ends in a table with both speeds, their ratio, and one hash if it is the same", () => {
    const other = raceTable(plain(lap()), proposing(lap({ decodeMs: 4, sha256: "bb" })));
    expect(other).toMatch(/^tokens\/s \(median\) +500\.0 +1000\.0 +2\.00 x$/m);
    expect(other).toMatch(/^acceptance by depth +0\.50 \/ 0\.25$/m);
    expect(other).toMatch(/^rounds chosen +3 × 1 proposal, 2 MASK rows\n +1 × plain$/m);
    expect(other).toMatch(/^same bytes +NO\nplain +aa\nproposing +bb$/m);
    const same = raceTable(plain(lap()), proposing(lap({ acceptanceByDepth: [] })));
    expect(same).toMatch(/no proposals\n(.*\n)*same bytes +yes\nSHA-256 +aa\n$/);
  });

  it("says how much longer a forward takes: the ratio is tokens per forward divided by it", () => {
    const laps = [lap({ tokensPerForward: 1 }), lap({ tokensPerForward: 2, decodeMs: 5 })] as const;
    expect(raceTable(plain(laps[0]), proposing(laps[1]))).toMatch(/^time per forward +1\.00 +1\.25$/m);
  });

  it("has at most 80 columns", () => {
    const rounds = Array.from({ length: 9 }, (_, i) => ({ proposals: 10 + i, maskRows: 12, rounds: 1000 - i }));
    const long = lap({ rounds, sha256: "a".repeat(64), acceptanceByDepth: Array<number>(8).fill(0.5) });
    for (const line of raceTable(plain(long), proposing(long)).split("\n")) expect(line.length).toBeLessThanOrEqual(80);
  });
});
