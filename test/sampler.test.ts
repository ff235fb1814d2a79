import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { LoadedModel } from "../src/compute/loaded-model.ts";
import { createNativeBackend, supportedInstructionSets } from "../src/compute/native/index.ts";
import { type Program, tokenMatrices } from "../src/compute/program/program.ts";
import type { Draw, Drawn, SparseDistribution, Trial } from "../src/compute/sampling/draw.ts";
import { gumbel, noiseKey, Purpose } from "../src/compute/sampling/philox.ts";
import type { ProposalRequest, Proposed } from "../src/compute/sampling/proposal.ts";
import { ReferenceSampler } from "../src/compute/sampling/reference-sampler.ts";
import type { Sampler } from "../src/compute/sampling/sampler.ts";
import type { SamplerSettings } from "../src/compute/sampling/settings.ts";
import { MAX_LOGPROBS, neutralSettings } from "../src/compute/sampling/settings.ts";
import { readAdapter } from "../src/formats/adapter/adapter.ts";
import { anyFloat, anySamplingNumbers } from "./support/any-settings.ts";
import { chain, fixtures, forestOf, golden, loadFixture, runForest } from "./support/backend-contract.ts";
import {
  at,
  exactDistribution,
  expectDistributed,
  expectIndependent,
  type History,
  maskOf,
  settingsCases,
} from "./support/sampling-statistics.ts";

/** Draws per distribution; sanitizer runs use fewer. */
const N = Number(process.env.IDLM_DRAWS ?? 20_000);
const PROMPT = [5, 9, 30, 31, 7];
const ROW = PROMPT.length - 1;
const at1: SamplerSettings = { ...neutralSettings, temperature: 1 };

type DrawRequest = Pick<Draw, "sampler" | "position"> & Partial<Draw>;

let model: LoadedModel;
let logits: Float32Array;
let vocabSize: number;

/** Allowed tokens by sampler, for its draws. */
const allowedOf = new WeakMap<Sampler, Uint32Array>();

function withAllowed<T extends { readonly sampler: Sampler }>(draw: T): T {
  const allowed = allowedOf.get(draw.sampler);
  return allowed === undefined ? draw : { ...draw, allowed };
}

/** Draws from the logits of one row, in one forward. */
async function drawn(requests: readonly DrawRequest[], from = model): Promise<readonly Drawn[]> {
  const draws = requests.map((request) => withAllowed({ row: ROW, unverified: [], ...request }));
  const cache = from.createCache(1);
  const result = await from.forward(chain(PROMPT, 0, [0]), cache, { draws });
  cache.dispose();
  return result.drawn;
}

async function tokens(requests: readonly DrawRequest[], from = model): Promise<number[]> {
  return (await drawn(requests, from)).map(({ token }) => token);
}

function overPositions(sampler: Sampler, n = N, offset = 0): DrawRequest[] {
  return Array.from({ length: n }, (_, i) => ({ sampler, position: offset + i }));
}

function prepared(sampler: Sampler, { prompt = [], output = [], allowed }: History): Sampler {
  sampler.prompt(Int32Array.from(prompt));
  for (const token of output) sampler.accept(token);
  if (allowed !== undefined) allowedOf.set(sampler, maskOf(allowed, vocabSize));
  return sampler;
}

function expectClose(found: Float32Array, expected: Float32Array): void {
  expect(found.length).toBe(expected.length);
  for (const [i, value] of expected.entries()) expect(found[i]).toBeCloseTo(value, 5);
}

function samplerOf(settings: Partial<SamplerSettings>, history: History = {}): Sampler {
  return prepared(model.createSampler({ ...at1, ...settings }), history);
}

beforeAll(async () => {
  model = await loadFixture(createNativeBackend({ threads: 2 }), "models/llama-tiny", "huggingface");
  const cache = model.createCache(1);
  logits = (await model.forward(chain(PROMPT, 0, [0]), cache)).logits(ROW);
  vocabSize = logits.length;
});
afterAll(() => model.dispose());

describe("native draws have the exact distribution", () => {
  /**
   * The cases are written for ids 0 … 11, here replaced by the most likely tokens, so that each setting has an effect.
   */
  function spread(ids: number[], { settings, history = {} }: (typeof settingsCases)[string]) {
    const id = (i: number) => at(ids, i);
    return {
      settings: {
        ...at1,
        temperature: 0.5,
        seed: 4,
        ...settings,
        logitBias: new Map([...(settings.logitBias ?? [])].map(([i, bias]) => [id(i), bias])),
      },
      history: {
        prompt: history.prompt?.map(id) ?? [],
        output: history.output?.map(id) ?? [],
        allowed: history.allowed && new Set([...history.allowed].map(id)),
      },
    };
  }

  it.each(Object.entries(settingsCases))("under %s", async (_, example) => {
    const order = [...logits.keys()].sort((a, b) => at(logits, b) - at(logits, a));
    const { settings, history } = spread(order, example);
    const { probabilities, margin } = exactDistribution(logits, settings, history);
    expect(margin).toBeGreaterThan(1e-5);
    expectDistributed(await tokens(overPositions(samplerOf(settings, history))), probabilities);
  });

  it("under a repetition penalty, with logits of both signs", async () => {
    // Close to 0, so that a wrong sign shows; the mask excludes all others.
    const small = [...logits.keys()].filter((id) => Math.abs(at(logits, id)) < 1);
    const isPositive = (id: number) => at(logits, id) > 0;
    expect(small.filter(isPositive).length).toBeGreaterThan(3);
    expect(small.filter((id) => !isPositive(id)).length).toBeGreaterThan(3);
    const history = { prompt: small.filter((_, i) => i % 4 < 2), allowed: new Set(small) };
    const settings = { ...at1, temperature: 0.5, repetitionPenalty: 1.7 };
    const { probabilities } = exactDistribution(logits, settings, history);
    expectDistributed(await tokens(overPositions(samplerOf(settings, history))), probabilities);
  });

  it("under the neutral settings, over seeds at one position", async () => {
    const requests = Array.from({ length: N }, (_, seed) => ({ sampler: samplerOf({ seed }), position: 3 }));
    expectDistributed(await tokens(requests), exactDistribution(logits, at1).probabilities);
  });

  it("and are independent at other positions, seeds and choices", async () => {
    const settings = { topK: 4, temperature: 0.5 };
    const { probabilities } = exactDistribution(logits, { ...at1, ...settings });
    const plain = await tokens(overPositions(samplerOf(settings)));
    expectIndependent(plain.slice(0, -1), plain.slice(1), probabilities);
    for (const other of [
      overPositions(samplerOf(settings), N, N),
      overPositions(samplerOf(settings), N, 2 ** 32),
      overPositions(samplerOf({ ...settings, seed: 1 })),
      overPositions(samplerOf({ ...settings, seed: 2 ** 32 })),
      overPositions(samplerOf({ ...settings, choice: 1 })),
    ]) {
      expectIndependent(plain, await tokens(other), probabilities);
    }
  });
});

describe("native draws equal the reference's", () => {
  /** Noisy scores closer than this are a tie: float32 scores and noise are within 1e-5 of those in double. */
  const NEAR_TIE = 1e-4;

  const id = fc.nat(319);
  const anySettings = fc.tuple(
    anySamplingNumbers,
    fc.record({
      logitBias: fc.array(fc.tuple(id, anyFloat(-10, 10)), { maxLength: 5 }).map((pairs) => new Map(pairs)),
      seed: fc.maxSafeNat(),
      choice: fc.nat(2 ** 31 - 1),
      logprobs: fc.integer({ min: -1, max: MAX_LOGPROBS }),
    }),
  );
  const anyHistory = fc.record({
    prompt: fc.array(id, { maxLength: 20 }),
    output: fc.array(id, { maxLength: 20 }),
    allowed: fc.option(
      fc.uniqueArray(id, { minLength: 1, maxLength: 200 }).map((ids) => new Set(ids)),
      {
        nil: undefined,
      },
    ),
  });
  const anyUnverified = fc.array(id, { maxLength: 4 });

  function expectSame(native: Drawn, reference: Drawn, scoreOf: (token: number) => number): void {
    if (native.token !== reference.token) {
      const gap = scoreOf(reference.token) - scoreOf(native.token);
      // In both directions: a token that the reference excludes scores higher.
      expect(Math.abs(gap), `${native.token} for ${reference.token}`).toBeLessThan(NEAR_TIE);
    }
    expect(native.top?.length).toBe(reference.top?.length);
    if (native.token === reference.token && reference.logprob !== undefined) {
      expect(Math.abs((native.logprob ?? Number.NaN) - reference.logprob)).toBeLessThan(1e-4);
    }
    for (const [i, { token, logprob }] of (native.top ?? []).entries()) {
      const expected = reference.top?.[i];
      expect(Math.abs(logprob - (expected?.logprob ?? Number.NaN))).toBeLessThan(1e-4);
      // Lists have the float32 logits themselves: only the order of equal ones could differ, and ids decide that.
      expect(token).toBe(expected?.token);
    }
  }

  it("for any settings and history", async () => {
    let compared = 0;
    await fc.assert(
      fc.asyncProperty(
        anySettings,
        anyHistory,
        anyUnverified,
        fc.nat(1e6),
        async ([numbers, others], history, unverified, offset) => {
          const settings = { ...numbers, ...others };
          const output = [...history.output, ...unverified];
          const { probabilities, adjusted, margin } = exactDistribution(logits, settings, { ...history, output });
          fc.pre(margin > 1e-5);
          const native = prepared(model.createSampler(settings), history);
          const reference = new ReferenceSampler(settings);
          prepared(reference, history);
          const requests = overPositions(native, 12, offset).map((request) => ({ ...request, unverified }));
          for (const [i, found] of (await drawn(requests)).entries()) {
            const position = offset + i;
            const expected = reference.draw(
              logits,
              withAllowed({ row: ROW, sampler: reference, position, unverified }),
            );
            const key = noiseKey(settings.seed, position, settings.choice, Purpose.draw);
            expectSame(found, expected, (token) =>
              settings.temperature === 0
                ? at(adjusted, token)
                : Math.log(at(probabilities, token)) + gumbel(key, token),
            );
            compared++;
          }
        },
      ),
      { seed: 20, numRuns: 240 },
    );
    expect(compared).toBe(240 * 12);
  });
});

describe("native proposals", () => {
  it.each(["llama-tiny-entry0", "llama-tiny-entry1"])(
    "of %s equal the reference's: shortlist, head, settings, noise, shares",
    async (folder) => {
      const adapter = readAdapter(join(fixtures, "idlm", folder));
      const draft = adapter.idlm?.draftVocabulary ?? Int32Array.from({ length: vocabSize }, (_, i) => i);
      const backend = createNativeBackend({ threads: 2 });
      const drafter = await loadFixture(backend, "models/llama-tiny", "huggingface", { adapter });
      const { forest } = golden("idlm", folder, "golden.json");
      const result = await runForest(drafter, forestOf(forest));
      const row: number = forest.tokens.indexOf(-1);
      const previous: number = forest.previous[row];
      const own = result.logits(row);
      const after = result.draftLogits({ kind: "mask", row, previous });
      const cases: Partial<SamplerSettings>[] = [
        {},
        { temperature: 0 },
        { temperature: 0.3 },
        { topK: 10 },
        { topP: 0.8, minP: 0.01 },
        { repetitionPenalty: 1.5, presencePenalty: 1, frequencyPenalty: 0.5, logitBias: new Map([[at(draft, 3), 2]]) },
      ];
      for (const [seed, changed] of cases.entries()) {
        const settings = { ...at1, seed, ...changed };
        const history = { prompt: [at(draft, 1)], output: [at(draft, 2), at(draft, 2)] };
        const native = prepared(drafter.createSampler(settings), history);
        const reference = new ReferenceSampler(settings);
        prepared(reference, history);
        for (const proposeFor of ["exact", "rejection"] as const) {
          for (let position = 10; position < 40; position++) {
            // Shortlist of 64 by the row's own logits; the head's logits choose among them.
            const key = noiseKey(settings.seed, position, settings.choice, Purpose.draw);
            const isNoisy = proposeFor === "exact" && settings.temperature > 0;
            const scores = Array.from(own, (logit, i) =>
              isNoisy ? logit / settings.temperature + gumbel(key, at(draft, i)) : logit,
            );
            const shortlist = [...scores.keys()].sort((a, b) => at(scores, b) - at(scores, a)).slice(0, 64);
            const ids = Int32Array.from(shortlist, (i) => at(draft, i));
            const logitsOf = Float32Array.from(shortlist, (i) => at(after, i));
            const request = { position, unverified: [at(draft, 5)], count: 4, proposeFor };
            const expected = reference.propose(logitsOf, ids, request);
            const source = { kind: "mask", row, previous } as const;
            const [found] = await result.propose([{ ...request, source, sampler: native }]);
            if (found === undefined) throw new Error("a request without an answer");
            expect([...found.tokens], `${position} ${JSON.stringify(changed)}`).toEqual([...expected.tokens]);
            expectClose(found.confidences, expected.confidences);
            const byId = ({ from }: Proposed) =>
              new Map(Array.from(from?.tokens ?? [], (token, i) => [token, at(from?.probabilities ?? [], i)]));
            const isDrawn = proposeFor === "rejection" && settings.temperature > 0;
            expect(found.from === undefined).toBe(!isDrawn);
            const shares = byId(found);
            expect([...shares.keys()].sort()).toEqual([...byId(expected).keys()].sort());
            for (const [token, probability] of byId(expected)) expect(shares.get(token)).toBeCloseTo(probability, 5);
            if (isDrawn) expect([...shares.values()].reduce((a, b) => a + b, 0)).toBeCloseTo(1, 5);
          }
        }
      }
      drafter.dispose();
    },
  );

  it("are drawn without replacement from the reported distribution", async () => {
    const sampler = samplerOf({ temperature: 0.6 });
    const cache = model.createCache(1);
    const result = await model.forward(chain(PROMPT, 0, [0]), cache);
    const pairs: [number, number][] = [];
    let from: SparseDistribution | undefined;
    const requests = Array.from({ length: N }, (_, position): ProposalRequest => {
      const source = { kind: "token", row: ROW } as const;
      return { source, sampler, position, unverified: [], count: 2, proposeFor: "rejection" };
    });
    for (const proposed of await result.propose(requests)) {
      from = proposed.from;
      pairs.push([at(proposed.tokens, 0), at(proposed.tokens, 1)]);
    }
    if (from === undefined) throw new Error("nothing was drawn");
    // The six most likely tokens and the rest: all ordered pairs.
    const shares = [...from.probabilities].map((probability, i) => ({ probability, token: at(from.tokens, i) }));
    const likely = shares.sort((a, b) => b.probability - a.probability).slice(0, 6);
    const cells = likely.length + 1;
    const p = [...likely.map(({ probability }) => probability)];
    p.push(1 - p.reduce((a, b) => a + b, 0));
    const cell = (token: number) => {
      const found = likely.findIndex((one) => one.token === token);
      return found < 0 ? cells - 1 : found;
    };
    const joint = new Float64Array(cells * cells);
    // Two tokens of the rest can be drawn: the remaining probability of the last cell.
    for (let i = 0; i < cells; i++) {
      for (let j = 0; j < cells; j++) {
        if (i === j || i === cells - 1) continue;
        joint[i * cells + j] = (at(p, i) * at(p, j)) / (1 - at(p, i));
      }
    }
    const rest = shares.slice(6);
    for (const first of rest) {
      for (let j = 0; j < cells - 1; j++) {
        joint[(cells - 1) * cells + j] =
          at(joint, (cells - 1) * cells + j) + (first.probability * at(p, j)) / (1 - first.probability);
      }
    }
    joint[cells * cells - 1] = 1 - joint.reduce((a, b) => a + b, 0);
    expectDistributed(
      pairs.map(([a, b]) => cell(a) * cells + cell(b)),
      joint,
    );
  });

  it("leave out NaN logits", async () => {
    const damaged = await loadFixture(createNativeBackend({ threads: 2 }), "hostile/gguf-nan-weight.gguf", "gguf");
    const result = await runForest(damaged, forestOf({ tokens: [1, 2, 3] }));
    const sampler = damaged.createSampler({ ...at1 });
    for (const proposeFor of ["exact", "rejection"] as const) {
      const source = { kind: "token", row: 2 } as const;
      const [none] = await result.propose([{ source, sampler, position: 3, unverified: [], count: 4, proposeFor }]);
      expect([...(none?.tokens ?? [0])]).toEqual([]);
    }
    damaged.dispose();
  });
});

describe("native draws that try proposals", () => {
  const anyTrial = fc.record({
    likely: fc.nat(30),
    tokens: fc.uniqueArray(fc.nat(60), { maxLength: 5 }),
    certain: fc.array(fc.boolean(), { minLength: 5, maxLength: 5 }),
    spread: fc.array(fc.double({ min: 0, max: 4, noNaN: true }), { minLength: 61, maxLength: 61 }),
    tau: fc.constantFrom(1, 1, 0.5, 0.01),
    offset: fc.nat(1e6),
  });
  const anyKind = fc.record({
    temperature: fc.constantFrom(0, 0.3, 0.7, 1, 2),
    topK: fc.constantFrom(0, 0, 1, 5, 40),
    topP: fc.constantFrom(1, 1, 0.9, 0.3),
    minP: fc.constantFrom(0, 0, 0.05),
    repetitionPenalty: fc.constantFrom(1, 1.3),
    seed: fc.nat(1e6),
    logprobs: fc.constantFrom(-1, 2),
  });

  /** Among the most likely tokens, so that some are accepted. */
  function trialOf(order: readonly number[], { likely, tokens: picks, certain, spread, tau }: Wished): Trial {
    const ids = order.slice(0, 61 + likely);
    const weights = spread.map((x) => Math.exp(-x));
    const total = weights.reduce((a, b) => a + b, 0);
    const from = {
      tokens: Int32Array.from(ids.slice(0, 61)),
      probabilities: Float32Array.from(weights, (w) => w / total),
    };
    return {
      tokens: picks.map((i) => at(ids, i)),
      from: picks.map((_, i) => (certain[i] ? undefined : from)),
      tau,
    };
  }
  type Wished = typeof anyTrial extends fc.Arbitrary<infer T> ? T : never;

  it("equal the reference's", async () => {
    const order = [...logits.keys()].sort((a, b) => at(logits, b) - at(logits, a));
    let stood = 0;
    let other = 0;
    await fc.assert(
      fc.asyncProperty(anyTrial, anyKind, async (wished, changed) => {
        const settings = { ...at1, ...changed };
        fc.pre(exactDistribution(logits, settings).margin > 1e-5);
        const trial = trialOf(order, wished);
        const native = model.createSampler(settings);
        const reference = new ReferenceSampler(settings);
        const requests = overPositions(native, 20, wished.offset).map((request) => ({ ...request, trial }));
        for (const [i, found] of (await drawn(requests)).entries()) {
          const request = { row: ROW, position: wished.offset + i, unverified: [], trial };
          const expected = reference.draw(logits, { ...request, sampler: reference });
          expect(found.token).toBe(expected.token);
          expect(found.top?.map(({ token }) => token)).toEqual(expected.top?.map(({ token }) => token));
          if (expected.logprob !== undefined) expect(found.logprob).toBeCloseTo(expected.logprob, 4);
          if (trial.tokens.includes(found.token)) stood++;
          else other++;
        }
      }),
      { seed: 8, numRuns: 200 },
    );
    expect(stood).toBeGreaterThan(500);
    expect(other).toBeGreaterThan(500);
  });

  it("have the same bits on every instruction set", async () => {
    const order = [...logits.keys()].sort((a, b) => at(logits, b) - at(logits, a));
    const cases = fc.sample(fc.tuple(anyTrial, anyKind), { seed: 3, numRuns: 60 });
    const found: unknown[] = [];
    for (const instructionSet of supportedInstructionSets()) {
      const backend = createNativeBackend({ threads: 2, instructionSet });
      const other = await loadFixture(backend, "models/llama-tiny", "huggingface");
      const requests = cases.flatMap(([wished, changed]) => {
        const sampler = other.createSampler({ ...at1, ...changed });
        return overPositions(sampler, 20, wished.offset).map((request) => ({
          ...request,
          trial: trialOf(order, wished),
        }));
      });
      const results = await drawn(requests, other);
      // Proposals, too: their probabilities are compared bit by bit.
      const result = await other.forward(chain(PROMPT, 0, [0]), other.createCache(1));
      const source = { kind: "token", row: ROW } as const;
      const proposed = await result.propose(
        (["exact", "rejection"] as const).flatMap((proposeFor) =>
          requests.map(({ sampler, position }) => ({
            source,
            sampler,
            position,
            unverified: [],
            count: 3,
            proposeFor,
          })),
        ),
      );
      found.push({ results, proposed });
      other.dispose();
    }
    for (const one of found) expect(one).toEqual(found[0]);
  });

  it("with an empty trial are draws with separate noise", async () => {
    const { probabilities } = exactDistribution(logits, { ...at1, temperature: 0.5, topK: 6 });
    const sampler = samplerOf({ temperature: 0.5, topK: 6 });
    const trial: Trial = { tokens: [], from: [], tau: 1 };
    const own = await tokens(overPositions(sampler).map((request) => ({ ...request, trial })));
    expectDistributed(own, probabilities);
    expectIndependent(own, await tokens(overPositions(sampler)), probabilities);
  });

  it("fall back to p if p = q leaves nothing, and never fail", async () => {
    // One token has nearly all probability, also in the proposal. Float32 leaves no residual, and u close to 1 rejects.
    const settings = { ...at1, topK: 2, logitBias: new Map([[3, 40]]) };
    const sampler = model.createSampler(settings);
    const { probabilities } = exactDistribution(logits, settings);
    const kept = [...probabilities.keys()].filter((id) => at(probabilities, id) > 0);
    const from = {
      tokens: Int32Array.from(kept),
      probabilities: Float32Array.from(kept, (id) => at(probabilities, id)),
    };
    const trial: Trial = { tokens: kept, from: kept.map(() => from), tau: 1 };
    const found = await drawn(overPositions(sampler, 2000).map((request) => ({ ...request, trial })));
    expect(found.every(({ token, failure }) => failure === undefined && kept.includes(token))).toBe(true);
    const nothing = samplerOf({}, { allowed: new Set() });
    const [failed] = await drawn([{ sampler: nothing, position: 6, trial }]);
    expect(failed?.failure?.message).toMatch(/position 6 no token is allowed/);
  });

  it.each<[string, Partial<Trial>]>([
    ["a token beyond the vocabulary", { tokens: [320], from: [undefined] }],
    ["a token tried twice", { tokens: [3, 3], from: [undefined, undefined] }],
    ["a token without a distribution", { tokens: [3], from: [] }],
    ["tau 0", { tau: 0 }],
    ["tau above 1", { tau: 1.5 }],
    [
      "a token that its distribution excludes",
      { from: [{ tokens: Int32Array.of(4), probabilities: Float32Array.of(1) }] },
    ],
    ["a token of no probability", { from: [{ tokens: Int32Array.of(3), probabilities: Float32Array.of(0) }] }],
    [
      "a probability that is none",
      { from: [{ tokens: Int32Array.of(3), probabilities: Float32Array.of(Number.NaN) }] },
    ],
    ["fewer probabilities than tokens", { from: [{ tokens: Int32Array.of(3, 4), probabilities: Float32Array.of(1) }] }],
  ])("refuse %s", async (_, changed) => {
    const trial: Trial = { tokens: [3], from: [undefined], tau: 1, ...changed };
    const refused = drawn([{ sampler: samplerOf({}), position: 5, trial }]);
    await expect(refused).rejects.toMatchObject({ code: "usage", message: expect.stringContaining("position 5") });
  });
});

describe("a native draw", () => {
  it.each<[string, Partial<SamplerSettings>]>([
    ["temperature 0", { temperature: 0 }],
    ["temperature 0 with log-probabilities", { temperature: 0, logprobs: 0 }],
    ["top-k 1", { topK: 1 }],
    ["top-p 0", { topP: 0 }],
    ["min-p 1", { minP: 1 }],
  ])("is of the best token under %s", async (_, settings) => {
    const best = logits.indexOf(Math.max(...logits));
    expect(new Set(await tokens(overPositions(samplerOf(settings), 500)))).toEqual(new Set([best]));
  });

  describe("from tied logits", () => {
    let tied: LoadedModel;
    beforeAll(async () => {
      const backend = createNativeBackend({ threads: 2 });
      tied = await loadFixture(backend, "models/llama-tiny", "huggingface", {}, withoutOutput);
    });
    afterAll(() => tied.dispose());

    /** The output matrix is zero, and so are all logits. */
    function withoutOutput(program: Program): Program {
      const weight = program.parameters[tokenMatrices(program).output];
      if (weight === undefined) throw new Error("the program has no logits");
      const zero = { ...weight, bytes: new Uint8Array(weight.bytes.length) };
      const used = "zero";
      return {
        ...program,
        parameters: { ...program.parameters, [used]: zero },
        forward: program.forward.map((operation) =>
          operation.kind === "logits" ? { ...operation, parameters: { weight: used } } : operation,
        ),
      };
    }

    it.each<[string, Partial<SamplerSettings>]>([
      ["temperature 0", { temperature: 0 }],
      ["temperature 0 and log-probabilities", { temperature: 0, logprobs: 1 }],
      ["top-k 1", { topK: 1 }],
      ["top-p 0", { topP: 0 }],
    ])("takes the lowest id under %s, the lowest allowed one under a mask", async (_, settings) => {
      const any = tied.createSampler({ ...at1, ...settings });
      const masked = prepared(tied.createSampler({ ...at1, ...settings }), { allowed: new Set([300, 45, 46]) });
      const requests = [any, masked].map((sampler) => ({ sampler, position: 1 }));
      expect(await tokens(requests, tied)).toEqual([0, 45]);
    });

    it("keeps the lowest ids of a tie in top-k, and draws them alike", async () => {
      const sampler = tied.createSampler({ ...at1, topK: 3 });
      const third = new Float64Array([1 / 3, 1 / 3, 1 / 3]);
      expectDistributed(await tokens(overPositions(sampler), tied), third);
    });

    it("keeps the lowest ids of a tie in top-p, and reports the lowest ids first", async () => {
      const sampler = tied.createSampler({ ...at1, topP: 0.5, logprobs: 3 });
      const results = await drawn(overPositions(sampler, 2000), tied);
      expect(Math.max(...results.map(({ token }) => token))).toBe(vocabSize / 2 - 1);
      expect(results[0]?.top?.map(({ token }) => token)).toEqual([0, 1, 2]);
    });
  });

  it("respects each draw's mask, and rejects a mask without allowed tokens", async () => {
    const allowed = new Set([0, 31, 32, 63, 64, 319]);
    const sampler = samplerOf({ temperature: 100 });
    const mask = maskOf(allowed, vocabSize);
    const requests = overPositions(sampler, 2000).map((request, i) =>
      i % 2 === 0 ? { ...request, allowed: mask } : request,
    );
    const found = await tokens(requests);
    expect(new Set(found.filter((_, i) => i % 2 === 0))).toEqual(allowed);
    expect(new Set(found.filter((_, i) => i % 2 === 1)).size).toBeGreaterThan(100);
    // The confidence of a proposal, too.
    const result = await model.forward(chain(PROMPT, 0, [0]), model.createCache(1));
    const request = { source: { kind: "token", row: ROW }, sampler, position: 9, unverified: [], count: 6 } as const;
    const [some, all] = await result.propose([
      { ...request, proposeFor: "exact", allowed: maskOf([...logits.keys()].slice(0, 160), vocabSize) },
      { ...request, proposeFor: "exact" },
    ]);
    expect(Math.max(...(some?.tokens ?? []))).toBeLessThan(160);
    expect(Math.max(...(all?.tokens ?? []))).toBeGreaterThan(159);
    for (const temperature of [0, 1]) {
      const nothing = samplerOf({ temperature }, { allowed: new Set() });
      const [failed] = await drawn([{ sampler: nothing, position: 6 }]);
      expect(failed?.failure?.message).toMatch(/position 6 no token is allowed/);
    }
  });

  it("does not depend on other draws, their order, or the place of its row", async () => {
    const samplers = [
      samplerOf({ seed: 1 }),
      samplerOf({ seed: 2, topP: 0.8, logprobs: 4 }),
      samplerOf({ topK: 9, repetitionPenalty: 1.3 }, { prompt: [1, 2, 3] }),
      samplerOf({ temperature: 0 }),
      samplerOf({ minP: 0.3 }, { allowed: new Set([3, 60, 61, 100, 200]) }),
    ];
    const requests: DrawRequest[] = Array.from({ length: 200 }, (_, i) => ({
      sampler: samplers[i % samplers.length] as Sampler,
      position: i,
      row: (i * 7) % PROMPT.length,
      unverified: [i % 11],
    }));
    const together = await drawn(requests);
    expect([...(await drawn([...requests].reverse()))].reverse()).toEqual(together);
    for (let i = 0; i < requests.length; i += 9) expect(await drawn(requests.slice(i, i + 1))).toEqual([together[i]]);
  });

  it("does not depend on the instruction set, given the same logits", async () => {
    const requests = (from: LoadedModel): DrawRequest[] =>
      [{}, { topP: 0.7 }, { topK: 20, minP: 0.1 }].flatMap((settings) =>
        overPositions(from.createSampler({ ...at1, ...settings, logprobs: 2 }), 500),
      );
    const expected = await drawn(requests(model));
    for (const instructionSet of supportedInstructionSets()) {
      const backend = createNativeBackend({ threads: 1, instructionSet });
      const other = await loadFixture(backend, "models/llama-tiny", "huggingface");
      expect(await drawn(requests(other), other), instructionSet).toEqual(expected);
      other.dispose();
    }
  });

  it("always draws a token whose probability after bias is 1", async () => {
    for (const settings of [{}, { topP: 0.5 }, { temperature: 100, minP: 0.5 }, { topK: 2 }, { temperature: 0 }]) {
      const sampler = samplerOf({ ...settings, logitBias: new Map([[123, 1e6]]) });
      expect(new Set(await tokens(overPositions(sampler, 1000)))).toEqual(new Set([123]));
    }
  });

  it("counts unverified tokens as accepted, for this draw only", async () => {
    const settings = { repetitionPenalty: 1.5, presencePenalty: 1, frequencyPenalty: 0.5 };
    const order = [...logits.keys()].sort((a, b) => at(logits, b) - at(logits, a)).slice(0, 6);
    const unverified = [...order, at(order, 0), at(order, 0)];
    const sampler = samplerOf(settings);
    const plain = await tokens(overPositions(sampler, 400));
    const found = await tokens(overPositions(sampler, 400).map((request) => ({ ...request, unverified })));
    expect(found).toEqual(await tokens(overPositions(samplerOf(settings, { output: unverified }), 400)));
    expect(found).not.toEqual(plain);
    expect(await tokens(overPositions(sampler, 400))).toEqual(plain);
  });

  it("reports log-probabilities before any sampling setting", async () => {
    const { probabilities } = exactDistribution(logits, at1);
    const order = [...logits.keys()].sort((a, b) => at(logits, b) - at(logits, a) || a - b);
    for (const count of [0, 1, 5, MAX_LOGPROBS]) {
      const sampler = samplerOf({ temperature: 0.3, logitBias: new Map([[17, 30]]), logprobs: count });
      const [found] = await drawn([{ sampler, position: 2 }]);
      expect(found?.token).toBe(17);
      expect(found?.logprob).toBeCloseTo(Math.log(at(probabilities, 17)), 4);
      expect(found?.top?.map(({ token }) => token)).toEqual(order.slice(0, count));
      for (const { token, logprob } of found?.top ?? []) {
        expect(Math.abs(logprob - Math.log(at(probabilities, token)))).toBeLessThan(1e-4);
      }
    }
    const [none] = await drawn([{ sampler: samplerOf({}), position: 2 }]);
    expect(Object.keys(none ?? {})).toEqual(["token"]);
  });
});
