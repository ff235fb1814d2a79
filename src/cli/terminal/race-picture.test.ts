import pc from "picocolors";
import { describe, expect, it } from "vitest";
import { racePicture } from "./race-picture.ts";
import type { Competitor, Lap, Step } from "./race-table.ts";

const none = pc.createColors(false);

const competitor = (name: Competitor["name"], steps: readonly Step[]): Competitor => ({
  name,
  laps: [{ steps } as Lap],
});

/** Forwards of `ms` milliseconds with so many tokens each. */
const steps = (ms: number, ...tokens: number[]): Step[] =>
  tokens.map((own, i) => ({ endMs: (i + 1) * ms, tokens: own }));

describe("racePicture", () => {
  it("draws both laps on one scale of time, denser where forwards gave more tokens", () => {
    const plain = competitor("plain", steps(10, ...Array<number>(59).fill(1)));
    const proposing = competitor("proposing", steps(20, 1, 2, 3, 4, 5));
    expect(racePicture([plain, proposing], none)).toBe(
      `plain      ${"░".repeat(59)} 0.59 s\nproposing  ░░▒▒▓▓████ 0.10 s\n           tokens per forward: ░ 1, ▒ 2, ▓ 3, █ 4 and more\n`,
    );
  });

  it("has at most 80 columns", () => {
    const long = competitor("proposing", steps(1000, ...Array<number>(100).fill(2)));
    for (const line of racePicture([competitor("plain", steps(1, 1)), long], none).split("\n")) {
      expect(line.length).toBeLessThanOrEqual(80);
    }
  });

  it("is empty where there is nothing to draw", () => {
    expect(racePicture([competitor("plain", []), competitor("proposing", steps(1, 1))], none)).toBe("");
  });
});
