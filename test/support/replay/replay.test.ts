import { describe, expect, it } from "vitest";
import { FixedPlanner } from "../../../src/decoding/planners/planner.ts";
import { RecordedText } from "./recorded-text.ts";
import { scaleSurvival, survivalOf } from "./scale-survival.ts";
import { fixedRounds, randomFrom, simulate, SimulatedClock } from "./simulation.ts";
import type { MaskNode, RecordedGeneration } from "./trace.ts";

/** Of tokens 0 to 99, whose MASK rows are right to these shares. */
function generation(kind: string, nTokens: number, shares: readonly number[], seed: number): RecordedGeneration {
  const random = randomFrom(seed);
  const output = Array.from({ length: nTokens }, () => Math.floor(random() * 100));
  const nodeAt = (at: number, depth: number): MaskNode => {
    const truth = output[at] ?? 0;
    const isHit = random() < (shares[depth] ?? 0);
    const tokens = isHit ? [truth, 200, 201] : [200, 201, 202];
    const next = depth + 1 < shares.length ? [...tokens, -1].map(() => nodeAt(at + 1, depth + 1)) : [];
    return { tokens, confidences: isHit ? [0.8, 0.1, 0.1] : [0.3, 0.2, 0.2], next };
  };
  return { kind, prompt: [1, 2, 3], output, predicted: [], masks: output.map((_, i) => nodeAt(i + 1, 0)) };
}

const chat = [1, 2, 3, 4].map((seed) => generation("chat", 400, [0.5, 0.4], seed));

function tokensPerForward(generations: readonly RecordedGeneration[], stride: number): number {
  const clock = new SimulatedClock();
  const texts = generations.map((own) => new RecordedText(own, { sources: ["mask"], maxRun: 2, clock })).values();
  const common = { slots: 1, seed: 1, goesOn: () => true, counts: () => true, costAt: () => () => 1 };
  const rounds = fixedRounds(() => new FixedPlanner("quadratic", stride));
  return simulate({ ...common, texts, clock }, rounds).tokensPerForward;
}

describe("RecordedText", () => {
  it("accepts what the recorded MASK rows proposed", () => {
    expect(tokensPerForward(chat, 1)).toBe(1);
    // A right proposal in half of the rounds, and after a right one in 0.4 of these.
    expect(Math.abs(tokensPerForward(chat, 2) - 1.5)).toBeLessThan(0.05);
    expect(Math.abs(tokensPerForward(chat, 3) - 1.7)).toBeLessThan(0.08);
  });
});

describe("scaleSurvival", () => {
  it.each([[[0.8, 0.6]], [[0.3, 0.1]], [[0.5, 0.2]]])("changes acceptance to %j", (wanted) => {
    const scaled = scaleSurvival(chat, wanted, 3);
    const found = survivalOf(scaled, 2);
    for (const [depth, share] of wanted.entries()) expect(Math.abs((found[depth] ?? 0) - share)).toBeLessThan(0.04);
    expect(Math.abs(tokensPerForward(scaled, 2) - 1 - (wanted[0] ?? 0))).toBeLessThan(0.06);
  });

  it("changes other kinds by the same factor of the odds", () => {
    const random = [5, 6, 7].map((seed) => generation("random", 400, [0.2, 0.1], seed));
    const [found = 0] = survivalOf(scaleSurvival([...chat, ...random], [0.8, 0.6], 3).slice(4), 1);
    // Four times the odds of 0.2.
    expect(Math.abs(found - 0.5)).toBeLessThan(0.05);
  });
});
