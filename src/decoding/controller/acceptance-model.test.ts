import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AcceptanceModel, SequenceAcceptance, type Trait } from "./acceptance-model.ts";

/** Numbers in [0, 1) from a seed. */
function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

const trait: Trait = { source: "mask", rank: 0, confidence: 0.5 };

describe("AcceptanceModel", () => {
  it("finds the acceptance of each interval of confidence and of each depth", () => {
    const truths: readonly (readonly [Trait, number, number])[] = [
      [trait, 1, 0.9],
      [{ ...trait, rank: 1, confidence: 0.12 }, 1, 0.05],
      [{ ...trait, confidence: 0.95 }, 2, 0.6],
      [{ source: "lookup", rank: 0, confidence: 0.5 }, 1, 0.02],
    ];
    const model = new AcceptanceModel();
    const next = random(3);
    for (let i = 0; i < 600; i++) {
      for (const [kind, depth, truth] of truths) model.observe(kind, depth, next() < truth);
    }
    for (const [kind, depth, truth] of truths) {
      // Four deviations of the mean of what is remembered; the prior weighs 4 of some 500.
      const tolerance = 4 * Math.sqrt((truth * (1 - truth)) / 300) + 0.02;
      expect(Math.abs(model.estimate(kind) - truth)).toBeLessThan(tolerance);
      expect(Math.abs(model.ahead(kind.source, kind.rank, depth) - truth)).toBeLessThan(tolerance);
    }
  });

  it("starts halfway between the rank's prior and the confidence", () => {
    const model = new AcceptanceModel();
    expect(model.estimate(trait)).toBe(0.5);
    expect(model.estimate({ ...trait, confidence: 0.9 })).toBeCloseTo(0.7);
    expect(model.estimate({ ...trait, rank: 1 })).toBeLessThan(0.4);
  });

  it("stays between 0 and 1", () => {
    const observations = fc.array(
      fc.record({
        source: fc.constantFrom("mask" as const, "lookup" as const, "predicted" as const, "medusa" as const),
        rank: fc.nat(20),
        confidence: fc.double({ min: 0, max: 1, noNaN: true }),
        depth: fc.integer({ min: 1, max: 40 }),
        accepted: fc.boolean(),
      }),
    );
    fc.assert(
      fc.property(observations, (all) => {
        const own = new SequenceAcceptance(new AcceptanceModel());
        for (const { depth, accepted, ...kind } of all) {
          for (const share of [own.estimate(kind), own.ahead(kind.source, kind.rank, depth)]) {
            expect(share >= 0 && share <= 1).toBe(true);
          }
          own.observe(kind, depth, accepted);
        }
      }),
    );
  });
});

describe("SequenceAcceptance", () => {
  it("learns within a few rounds that a sequence is unlike others, with little effect on the model's rates", () => {
    const model = new AcceptanceModel();
    const usual = new SequenceAcceptance(model);
    for (let i = 0; i < 400; i++) usual.observe(trait, 1, i % 10 < 7);
    const odd = new SequenceAcceptance(model);
    for (let i = 0; i < 12; i++) odd.observe(trait, 1, false);
    expect(odd.estimate(trait)).toBeLessThan(0.35);
    expect(new SequenceAcceptance(model).estimate(trait)).toBeGreaterThan(0.6);
    // And that it has become like them again.
    for (let i = 0; i < 40; i++) odd.observe(trait, 1, i % 10 < 7);
    expect(odd.estimate(trait)).toBeGreaterThan(0.5);
  });
});
