import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { nativeTestBinding } from "../../../test/support/native-test-binding.ts";
import { maskOf } from "../../../test/support/sampling-statistics.ts";
import { noiseKey, Purpose } from "../sampling/philox.ts";
import type { SamplerSettings } from "../sampling/settings.ts";
import { neutralSettings } from "../sampling/settings.ts";
import { supportedInstructionSets } from "./index.ts";

const { fround } = Math;
const LANES = 16;
const LOWEST = Number.NEGATIVE_INFINITY;

/** Few values, so that there are ties; far apart, so that noise does not matter; and what no model should yield. */
const kinds: readonly fc.Arbitrary<number>[] = [
  fc.integer({ min: -2, max: 2 }),
  fc.integer({ min: -40, max: 40 }).map((x) => x / 4),
  fc.constantFrom(-1e30, -60, -23, -22.9, -22.8, -1, 0, 1),
  fc.constantFrom(1e8, 1e8 + 8, 1e8 - 8, 1e8 - 24, 0),
  fc.constantFrom(-3e38, 3e38, 1e-40, -0, 0),
];
const size = fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 2500 }));
const rowOf = (kind: fc.Arbitrary<number>) =>
  size.chain((n) => fc.array(kind, { minLength: n, maxLength: n, size: "max" })).map((row) => Float32Array.from(row));
const finite = fc.oneof(...kinds.map(rowOf));
const hostile = fc.oneof(
  finite,
  ...kinds.map((kind) => rowOf(fc.oneof({ weight: 6, arbitrary: kind }, fc.constantFrom(Number.NaN, LOWEST)))),
  rowOf(fc.constantFrom(Number.NaN, LOWEST, Number.POSITIVE_INFINITY, 0)),
);

describe.each(supportedInstructionSets())("draws by %s", (isa) => {
  const binding = nativeTestBinding();

  it("add noise only where it matters, and find the same", () => {
    const cases = fc.tuple(hostile, fc.nat(1e6), fc.boolean(), fc.double({ min: -5, max: 30, noNaN: true }));
    fc.assert(
      fc.property(cases, ([scores, position, hasIds, below]) => {
        const ids = Int32Array.from(scores, (_, i) => (hasIds ? scores.length - 1 - i : i));
        const { key, word } = noiseKey(1, position, 0, Purpose.draw);
        const given = hasIds ? ids : undefined;
        const { all, best } = binding.noisy(isa, scores, given, word, key, LOWEST);
        const largest = Math.max(LOWEST, ...all.filter((score) => !Number.isNaN(score)));
        const winners = [...all.keys()].filter((i) => all[i] === largest && largest > LOWEST);
        winners.sort((a, b) => (ids[a] as number) - (ids[b] as number));
        expect(best).toBe(winners[0] ?? -1);
        for (const min of [LOWEST, largest, fround(largest - below)]) {
          const { from } = binding.noisy(isa, scores, given, word, key, min);
          const expected = [...all.entries()].filter(([, score]) => score >= min);
          expect(from).toEqual(expected);
        }
      }),
      { numRuns: 400 },
    );
  });

  const anySettings = fc.record({
    temperature: fc.constantFrom(1, 0.7, 2, 0.05, 100).map(fround),
    topK: fc.oneof(fc.constant(0), fc.constant(0), fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: 3000 })),
    topP: fc.constantFrom(1, 1, 0, 0.3, 0.9, 0.999, 1 - 2 ** -24).map(fround),
    minP: fc.constantFrom(0, 0, 0, 0.05, 1).map(fround),
    repetitionPenalty: fc.constantFrom(1, 1, 1.5, 1e-38).map(fround),
    bias: fc.array(fc.tuple(fc.nat(2499), fc.constantFrom(2, -100, 3e38, -3e38).map(fround)), { maxLength: 4 }),
    isMasked: fc.constantFrom(false, false, true),
    seed: fc.nat(1000),
  });

  it("are those of sorting all tokens", () => {
    fc.assert(
      fc.property(finite, anySettings, fc.nat(1e6), (logits, { bias, isMasked, ...changed }, position) => {
        const settings = { ...neutralSettings, ...changed, logitBias: new Map(bias) };
        const { logitBias, ...numbers } = settings;
        const biasTokens = Int32Array.from(logitBias.keys());
        const sampler = new binding.Sampler({
          ...numbers,
          biasTokens,
          biasValues: Float32Array.from(logitBias.values()),
        });
        const prompt = new Set([0, 3, 7, logits.length - 1]);
        sampler.prompt(Int32Array.from(prompt));
        const isAllowed = (id: number) => !isMasked || (id * 7 + settings.seed) % 5 < 2;
        const allowed = new Set([...logits.keys()].filter(isAllowed));
        const mask = isMasked ? maskOf(allowed, logits.length) : undefined;
        const found = binding.drawFrom(isa, sampler, logits, position, mask);
        const scores = logits.map((logit, id) => {
          if (!isAllowed(id)) return LOWEST;
          const penalty = settings.repetitionPenalty;
          const penalised = !prompt.has(id) ? logit : fround(logit > 0 ? logit / penalty : logit * penalty);
          return fround(fround(penalised + (settings.logitBias.get(id) ?? 0)) / settings.temperature);
        });
        expect(found).toBe(drawnPlainly(scores, settings, position));
      }),
      { numRuns: 600 },
    );
  });

  /** The best with noise of what is left after sorting; with the kernels' exponentials and noise, in float32. */
  function drawnPlainly(scores: Float32Array, settings: SamplerSettings, position: number): number {
    const { topK, topP, minP, seed, choice } = settings;
    const score = (id: number) => scores[id] as number;
    const sorted = (ids: number[]) =>
      ids.sort((a, b) => (score(a) === score(b) ? a - b : score(b) > score(a) ? 1 : -1));
    let kept = [...scores.keys()].filter((id) => score(id) > LOWEST);
    if (topK > 0 && topK < kept.length)
      kept = sorted(kept)
        .slice(0, topK)
        .sort((a, b) => a - b);
    if (topP < 1 || minP > 0) {
      const largest = kept.reduce((max, id) => Math.max(max, score(id)), LOWEST);
      const padded = new Float32Array(Math.ceil(kept.length / LANES) * LANES).fill(LOWEST);
      padded.set(kept.map((id) => fround(score(id) - largest)));
      const weights = binding.math(isa, 0, padded);
      const weightOf = new Map(kept.map((id, i) => [id, weights[i] as number]));
      if (topP < 1) {
        const goal = topP * sumOf(weights);
        let reached = 0;
        let n = 0;
        for (const id of sorted(kept)) {
          if (n > 0 && !(reached < goal)) break;
          reached += weightOf.get(id) as number;
          n++;
        }
        kept = kept.slice(0, n);
      }
      if (minP > 0) kept = kept.filter((id) => (weightOf.get(id) as number) >= minP);
    }
    if (kept.length === 0) return -1;
    const { key, word } = noiseKey(seed, position, choice, Purpose.draw);
    const ids = Int32Array.from(kept);
    const { all } = binding.noisy(isa, Float32Array.from(kept, score), ids, word, key, LOWEST);
    const best = all.reduce((a, b) => Math.max(a, b), LOWEST);
    const winners = kept.filter((_, i) => all[i] === best && best > LOWEST);
    return winners.length === 0 ? -1 : Math.min(...winners);
  }
});

/** Sixteen chains, then a tree. */
function sumOf(weights: Float32Array): number {
  const chains = new Float32Array(LANES);
  weights.forEach((weight, i) => {
    chains[i % LANES] = fround((chains[i % LANES] as number) + weight);
  });
  for (let width = LANES / 2; width >= 1; width /= 2) {
    for (let i = 0; i < width; i++) chains[i] = fround((chains[i] as number) + (chains[i + width] as number));
  }
  return chains[0] as number;
}
