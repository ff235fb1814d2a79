import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  exactDistribution,
  expectDistributed,
  expectIndependent,
  type History,
  maskOf,
  settingsCases,
} from "../../../test/support/sampling-statistics.ts";
import type { SamplerSettings } from "./settings.ts";
import { ReferenceSampler } from "./reference-sampler.ts";
import { neutralSettings } from "./settings.ts";

const logits = Float32Array.of(1.5, 0.25, -0.5, 2, 0.75, -2, 1, 0, -1, 0.5, 1.25, -0.25);
const N = 20_000;
const at1: SamplerSettings = { ...neutralSettings, temperature: 1 };

/** Allowed tokens by sampler, for its draws. */
const allowedOf = new WeakMap<ReferenceSampler, Uint32Array>();

function samplerOf(settings: SamplerSettings, { prompt = [], output = [], allowed }: History = {}): ReferenceSampler {
  const sampler = new ReferenceSampler(settings);
  sampler.prompt(Int32Array.from(prompt));
  for (const token of output) sampler.accept(token);
  if (allowed !== undefined) allowedOf.set(sampler, maskOf(allowed, logits.length));
  return sampler;
}

function draw(sampler: ReferenceSampler, position: number, unverified: readonly number[] = [], row = logits): number {
  const allowed = allowedOf.get(sampler);
  const place = { row: 0, sampler, position, unverified };
  return sampler.draw(row, allowed === undefined ? place : { ...place, allowed }).token;
}

describe("the reference sampler", () => {
  it.each(Object.entries(settingsCases))("draws from the exact distribution under %s", (_, { settings, history }) => {
    const full = { ...at1, seed: 77, ...settings };
    const sampler = samplerOf(full, history);
    const outcomes = Array.from({ length: N }, (_, position) => draw(sampler, position));
    expectDistributed(outcomes, exactDistribution(logits, full, history).probabilities);
  });

  it("draws independently at other positions, seeds and choices", () => {
    const few = logits.slice(0, 4);
    const { probabilities } = exactDistribution(few, at1);
    const drawsOf = (settings: Partial<SamplerSettings>, offset = 0) => {
      const sampler = new ReferenceSampler({ ...at1, ...settings });
      return Array.from({ length: N }, (_, i) => draw(sampler, i + offset, [], few));
    };
    const plain = drawsOf({});
    for (const other of [drawsOf({}, N), drawsOf({}, 2 ** 32), drawsOf({ seed: 1 }), drawsOf({ choice: 1 })]) {
      expectIndependent(plain, other, probabilities);
    }
    expectIndependent(plain.slice(0, -1), plain.slice(1), probabilities);
  });

  it("draws from the distribution over seeds at one position", () => {
    const outcomes = Array.from({ length: N }, (_, seed) => draw(new ReferenceSampler({ ...at1, seed }), 9));
    expectDistributed(outcomes, exactDistribution(logits, at1).probabilities);
  });

  it("counts unverified tokens as accepted ones", () => {
    const settings = { ...at1, repetitionPenalty: 1.5, presencePenalty: 1, frequencyPenalty: 0.5 };
    const tokens = fc.array(fc.nat(logits.length - 1), { maxLength: 6 });
    fc.assert(
      fc.property(tokens, tokens, fc.nat(), (output, extra, position) => {
        const accepted = samplerOf(settings, { output: [...output, ...extra] });
        expect(draw(samplerOf(settings, { output }), position, extra)).toBe(draw(accepted, position));
      }),
      { seed: 1 },
    );
  });

  it.each<[string, Partial<SamplerSettings>]>([
    ["temperature 0", { temperature: 0 }],
    ["top-k 1", { topK: 1 }],
    ["top-p 0", { topP: 0 }],
    ["min-p 1", { minP: 1 }],
    ["a temperature next to 0", { temperature: 1e-40 }],
  ])("%s draws the best token, the lowest id on a tie", (_, settings) => {
    const row = Float32Array.of(1, 3, 3, -1, 3, 2);
    const sampler = new ReferenceSampler({ ...at1, ...settings });
    // Min-p keeps all tied tokens, and so does a temperature.
    const isTie = settings.minP === 1 || settings.temperature === 1e-40;
    for (let position = 0; position < 50; position++) {
      const token = draw(sampler, position, [], row);
      if (isTie) expect([1, 2, 4]).toContain(token);
      else expect(token).toBe(1);
    }
  });

  it("always draws a token with probability 1 after bias", () => {
    const sampler = new ReferenceSampler({ ...at1, logitBias: new Map([[5, 1000]]) });
    for (let position = 0; position < 200; position++) expect(draw(sampler, position)).toBe(5);
  });

  it("reports log-probabilities before the sampling settings", () => {
    const settings = { ...at1, temperature: 0, logitBias: new Map([[5, 100]]), logprobs: 3 };
    const sampler = samplerOf(settings);
    const { probabilities } = exactDistribution(logits, at1);
    const drawn = sampler.draw(logits, { row: 0, sampler, position: 1, unverified: [] });
    expect(drawn.token).toBe(5);
    expect(drawn.logprob).toBeCloseTo(Math.log(probabilities[5] as number), 6);
    expect(drawn.top?.map(({ token }) => token)).toEqual([3, 0, 10]);
    for (const { token, logprob } of drawn.top ?? []) {
      expect(logprob).toBeCloseTo(Math.log(probabilities[token] as number), 6);
    }
  });

  it("rejects logits that are not finite, and a mask without allowed tokens", () => {
    const sampler = samplerOf(at1);
    const place = { row: 0, sampler, position: 4, unverified: [] };
    const { failure } = sampler.draw(Float32Array.of(1, Number.NaN), place);
    expect(failure).toMatchObject({ code: "not-finite" });
    const none = sampler.draw(logits, { ...place, allowed: maskOf([], logits.length) });
    expect(none.failure?.message).toMatch(/position 4 no token is allowed/);
    expect(draw(sampler, 4)).toBeLessThan(logits.length);
  });
});
