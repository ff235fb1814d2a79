import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FakeModel, type FakeModelOptions } from "../../test/support/fake-model.ts";
import type { SamplerSettings } from "../compute/backend.ts";
import { type DecodeOptions, decode, newDecodeState, type SequenceKv } from "./decode.ts";
import { LookupProposer } from "./lookup-proposer.ts";
import { maskProposer, noProposer, type Proposer } from "./proposer.ts";
import type { Proposal } from "./round.ts";

const neutral: SamplerSettings = {
  repetitionPenalty: 1,
  presencePenalty: 0,
  frequencyPenalty: 0,
  logitBias: new Map(),
  temperature: 0,
  topK: 0,
  topP: 1,
  minP: 0,
  seed: 0,
  choice: 0,
  logprobs: -1,
};

interface Setup extends Partial<Omit<DecodeOptions, "model" | "kv" | "sampler" | "prompt">> {
  readonly prompt: readonly number[];
  readonly settings?: Partial<SamplerSettings>;
  readonly fake?: FakeModelOptions;
  /** Tokens whose K and V are there before. */
  readonly nCached?: number;
}

/** Scattered pages, so that slots of neighbours are none. */
function kvOf(model: FakeModel): SequenceKv & { readonly tokens: number[] } {
  const nPages = 64;
  const cache = model.createCache(nPages);
  const tokens: number[] = [];
  const pages: number[] = [];
  return {
    cache,
    tokens,
    pages,
    get length() {
      return tokens.length;
    },
    reserve(nSlots) {
      while (pages.length * 16 < tokens.length + nSlots) pages.push((pages.length * 37 + 11) % nPages);
    },
    commit(more) {
      tokens.push(...more);
    },
  };
}

async function write({ prompt, settings, fake, nCached = 0, ...setup }: Setup) {
  const model = new FakeModel(fake);
  const kv = kvOf(model);
  const sampler = model.createSampler({ ...neutral, ...settings });
  sampler.prompt(Int32Array.from(prompt));
  const common = { stride: 4, shape: "chain", maxTokens: 24, chunkRows: 16, endTokens: new Set<number>() } as const;
  if (nCached > 0) {
    const warmUp = {
      ...common,
      model,
      kv,
      prompt: prompt.slice(0, nCached + 1),
      proposer: noProposer,
      maxTokens: 1,
      chunkRows: 5,
    };
    const other = model.createSampler(neutral);
    for await (const _ of decode({ ...warmUp, sampler: other }, newDecodeState()));
    kv.tokens.length = Math.min(kv.tokens.length, nCached);
  }
  const before = model.rowCounts.length;
  const state = newDecodeState();
  const logprobs: unknown[] = [];
  const tokens: number[] = [];
  const onToken = (drawn: Parameters<NonNullable<DecodeOptions["onToken"]>>[0]) => {
    logprobs.push([drawn.logprob, drawn.top]);
    return setup.onToken?.(drawn) ?? false;
  };
  const options = { ...common, proposer: noProposer, ...setup, model, kv, prompt, sampler, onToken };
  for await (const round of decode(options, state)) tokens.push(...round);
  return { tokens, logprobs, state, kv, model, rows: model.rowCounts.slice(before) };
}

/** Any tree of any tokens, right ones among them. */
class RandomTreeProposer implements Proposer {
  readonly usesMasks: boolean;
  #state: number;
  readonly #truth: readonly number[];
  #at = 0;
  readonly #nPrompt: number;

  constructor(seed: number, usesMasks: boolean, truth: readonly number[], nPrompt: number) {
    this.#state = seed;
    this.usesMasks = usesMasks;
    this.#truth = truth;
    this.#nPrompt = nPrompt;
  }

  observe(tokens: readonly number[]): void {
    this.#at += tokens.length;
  }

  propose(depth: number): readonly Proposal[] {
    const proposals: Proposal[] = [];
    const depths: number[] = [];
    for (let i = this.#next(8); i > 0 && depth > 0; i--) {
      const parent = this.#next(proposals.length + 1) - 1;
      const own = (depths[parent] ?? 0) + 1;
      if (own > depth) continue;
      const right = this.#truth[this.#at - this.#nPrompt + own - 1];
      const token = right !== undefined && this.#next(3) > 0 ? right : this.#next(11);
      // Two children of the same token would be one.
      if (proposals.some((other) => other.parent === parent && other.token === token)) continue;
      proposals.push({ token, parent });
      depths.push(own);
    }
    return proposals;
  }

  #next(n: number): number {
    this.#state = (Math.imul(this.#state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((this.#state / 2 ** 32) * n);
  }
}

/** Knows what plain decoding writes. */
function oracle(truth: readonly number[], nPrompt: number): Proposer {
  let at = -nPrompt;
  return {
    usesMasks: false,
    observe: (tokens) => {
      at += tokens.length;
    },
    propose: (depth) => truth.slice(at, at + Math.max(0, depth)).map((token, i) => ({ token, parent: i - 1 })),
  };
}

const setups = fc.record({
  prompt: fc.array(fc.nat(10), { minLength: 1, maxLength: 40 }),
  settings: fc.record({
    temperature: fc.constantFrom(0, 0, 0.7, 1, 2),
    seed: fc.nat(1000),
    repetitionPenalty: fc.constantFrom(1, 1.3),
    presencePenalty: fc.constantFrom(0, 0.6),
    frequencyPenalty: fc.constantFrom(0, 0.4, -0.3),
    logitBias: fc.constantFrom(
      new Map<number, number>(),
      new Map([
        [3, 1.5],
        [4, -2],
      ]),
    ),
    logprobs: fc.constantFrom(-1, 0, 3),
  }),
  maxTokens: fc.integer({ min: 1, max: 40 }),
  fake: fc.record({ seed: fc.nat(1000), hitRate: fc.constantFrom(0, 0.4, 0.8, 1), entryLayer: fc.constantFrom(0, 1) }),
  endToken: fc.constantFrom(undefined, 5),
  stopAt: fc.constantFrom(undefined, 2),
});

const ways = fc.record({
  stride: fc.integer({ min: 1, max: 8 }),
  shape: fc.constantFrom("chain" as const, "quadratic" as const),
  chunkRows: fc.integer({ min: 1, max: 50 }),
  proposer: fc.constantFrom("mask", "lookup", "tree", "tree+masks", "oracle"),
  cachedShare: fc.constantFrom(0, 0, 0.5, 1),
  treeSeed: fc.nat(),
});

describe("decode", () => {
  it("writes plain decoding's tokens whatever the way", async () => {
    await fc.assert(
      fc.asyncProperty(setups, ways, async ({ endToken, stopAt, ...setup }, way) => {
        let seen: number[] = [];
        // A stop string that spans two tokens.
        const onToken = ({ token }: { token: number }) => {
          seen.push(token);
          return stopAt !== undefined && seen.at(-1) === stopAt && seen.at(-2) === stopAt + 1;
        };
        const common = { ...setup, endTokens: new Set(endToken === undefined ? [] : [endToken]), onToken };
        const plain = await write({ ...common, stride: 1, chunkRows: 1000 });
        seen = [];
        const proposers: Record<typeof way.proposer, () => Proposer> = {
          mask: () => maskProposer,
          lookup: () => new LookupProposer(),
          tree: () => new RandomTreeProposer(way.treeSeed, false, plain.tokens, setup.prompt.length),
          "tree+masks": () => new RandomTreeProposer(way.treeSeed, true, plain.tokens, setup.prompt.length),
          oracle: () => oracle(plain.tokens, setup.prompt.length),
        };
        const nCached = Math.floor(way.cachedShare * (setup.prompt.length - 1));
        const { stride, shape, chunkRows } = way;
        const fast = await write({ ...common, stride, shape, chunkRows, nCached, proposer: proposers[way.proposer]() });
        expect(fast.tokens).toEqual(plain.tokens);
        expect(fast.logprobs).toEqual(plain.logprobs);
        expect(fast.state.finishReason).toBe(plain.state.finishReason);
        expect(fast.state.drawn).toBe(plain.state.drawn);
        expect(fast.state.forwards).toBeLessThanOrEqual(plain.state.forwards);
        expect(plain.state.forwards).toBe(plain.state.drawn);
        // What is left in the cache is the text, and no more than was drawn.
        const whole = [
          ...setup.prompt,
          ...plain.tokens,
          ...(plain.state.drawn > plain.tokens.length ? [endToken] : []),
        ];
        expect(fast.kv.tokens).toEqual(whole.slice(0, fast.kv.tokens.length));
        expect(fast.kv.tokens.length).toBeGreaterThanOrEqual(whole.length - 1);
        expect(fast.kv.tokens.length).toBeLessThanOrEqual(whole.length);
        const { proposed, accepted, byDepth } = fast.state.acceptance;
        expect(accepted.every((n, i) => n <= (proposed[i] ?? 0))).toBe(true);
        expect(byDepth.every((share) => share >= 0 && share <= 1)).toBe(true);
        const sum = accepted.reduce((total, n) => total + n, 0);
        // Every forward gives one token of its own; the rest are accepted proposals.
        expect(fast.state.drawn).toBeGreaterThanOrEqual(sum);
        expect(fast.state.drawn).toBeLessThanOrEqual(fast.state.forwards + sum);
      }),
      { numRuns: 1500 },
    );
  });

  it.each([2, 3, 4, 8])("needs one forward and then one per %i tokens where every proposal stands", async (stride) => {
    const maxTokens = 41;
    const { state, tokens } = await write({
      prompt: [1, 2, 3],
      proposer: maskProposer,
      stride,
      maxTokens,
      fake: { hitRate: 1 },
    });
    expect(tokens.length).toBe(maxTokens);
    expect(state.forwards).toBe(1 + Math.ceil((maxTokens - 1) / stride));
    expect(state.acceptance.byDepth).toEqual(new Array(stride - 1).fill(1));
  });

  it("starts cold after a rejection in a chain, and never in a quadratic round", async () => {
    // Where nothing stands, a chain proposes in every second round only.
    const setup = { prompt: [1, 2, 3], proposer: maskProposer, stride: 3, maxTokens: 21, fake: { hitRate: 0 } };
    const chain = await write({ ...setup, shape: "chain" });
    const quadratic = await write({ ...setup, shape: "quadratic" });
    expect(chain.state.forwards).toBe(21);
    expect(chain.state.acceptance.proposed[0]).toBe(10);
    expect(quadratic.state.acceptance.proposed[0]).toBe(19);
    expect(quadratic.tokens).toEqual(chain.tokens);
  });

  it("lays out the rows of the paper's rounds", async () => {
    const setup = { prompt: [1, 2, 3], proposer: maskProposer, stride: 3, maxTokens: 30, fake: { hitRate: 1 } };
    // The prompt and a run of two; then a pending token, two proposals, and runs.
    expect((await write({ ...setup, shape: "chain" })).rows.slice(0, 4)).toEqual([5, 5, 5, 5]);
    expect((await write({ ...setup, shape: "quadratic" })).rows.slice(0, 4)).toEqual([5, 9, 9, 9]);
  });

  it("makes no row that the last tokens cannot use", async () => {
    const setup = { prompt: [1], proposer: maskProposer, stride: 8, fake: { hitRate: 1 } };
    expect((await write({ ...setup, maxTokens: 1 })).rows).toEqual([1]);
    expect((await write({ ...setup, maxTokens: 2 })).rows).toEqual([1, 1]);
    expect((await write({ ...setup, maxTokens: 3 })).rows).toEqual([2, 2]);
    expect((await write({ ...setup, maxTokens: 9 })).rows).toEqual([8, 8]);
  });

  it("chunks the prompt and draws in its last forward", async () => {
    const prompt = Array.from({ length: 23 }, (_, i) => i % 11);
    const { rows, state } = await write({
      prompt,
      proposer: maskProposer,
      stride: 3,
      maxTokens: 4,
      chunkRows: 10,
      fake: { hitRate: 1 },
    });
    expect(rows).toEqual([10, 10, 5, 3 + 0]);
    expect(state.forwards).toBe(2);
  });

  it("stops after the forward that runs when it is cancelled", async () => {
    const controller = new AbortController();
    const tokens: number[] = [];
    const onToken = () => {
      if (tokens.push(0) === 5) controller.abort();
      return false;
    };
    const { state } = await write({ prompt: [1, 2], onToken, signal: controller.signal, stride: 1 });
    expect(state.finishReason).toBe("cancelled");
    expect(tokens.length).toBe(5);
  });
});
