import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FakeModel, type FakeModelOptions } from "../../../test/support/fake-model.ts";
import { chooseRounds } from "../../../test/support/proposing.ts";
import type { SamplerSettings } from "../../compute/sampling/settings.ts";
import { neutralSettings } from "../../compute/sampling/settings.ts";
import { AcceptanceModel, SequenceAcceptance } from "../controller/acceptance-model.ts";
import { Controller } from "../controller/controller.ts";
import { Decoder, type DecoderOptions, type SequenceKv } from "./decoder.ts";
import { DraftModel } from "../proposers/draft-model.ts";
import { DraftProposer } from "../proposers/draft-proposer.ts";
import { LookupProposer } from "../proposers/lookup-proposer.ts";
import { FixedPlanner, type FixedShape, type PlanContext, type Planner, type RoundShape } from "../planners/planner.ts";
import { PredictedProposer } from "../proposers/predicted-proposer.ts";
import { MaskProposer, MedusaProposer, noCandidates, type Proposer } from "../proposers/proposer.ts";
import { candidatesAt, type Proposing } from "./proposing.ts";
import { layOut, type Proposal, type RoundRows } from "./round.ts";
import { StaticTreePlanner } from "../planners/static-tree-planner.ts";
import { TreePlanner } from "../planners/tree-planner.ts";

interface Setup extends Partial<Omit<DecoderOptions, "sampler" | "prompt">> {
  readonly prompt: readonly number[];
  readonly settings?: Partial<SamplerSettings>;
  readonly fake?: FakeModelOptions;
  readonly stride?: number;
  readonly shape?: FixedShape;
  /** Most pending tokens in one forward. */
  readonly chunkRows?: number;
  /** Tokens that are cached beforehand. */
  readonly nCached?: number;
  /** Number of forwards after which the cache is dropped. */
  readonly preemptAfter?: number;
  readonly signal?: AbortSignal;
  /** Of `planner`. */
  readonly controller?: Controller;
}

/** Scattered pages, so that neighbouring slots of a sequence are not neighbours in memory. */
function kvOf(model: FakeModel): SequenceKv & { readonly tokens: number[]; reserve(nSlots: number): void } {
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

type Kv = ReturnType<typeof kvOf>;

async function drive(model: FakeModel, kv: Kv, decoder: Decoder, setup: Setup) {
  const { chunkRows = 16, signal, preemptAfter, controller } = setup;
  const tokens: number[] = [];
  const read = async () => {
    do await decoder.prefillDraft({ tokens: 20 + chunkRows });
    while (decoder.isWaitingForDraft);
  };
  await read();
  await chooseRounds([decoder], undefined, controller);
  for (let n = 1; decoder.finishReason === undefined && !signal?.aborted; n++) {
    await read();
    const plan = decoder.plan(kv, chunkRows);
    kv.reserve(plan.pending.length + decoder.nScratchRows);
    const { forest, sampling, rows } = layOut([plan]);
    const result = await model.forward(forest, kv.cache, sampling);
    tokens.push(...decoder.applyResults(model, kv, plan, result, rows[0] as RoundRows).map(({ token }) => token));
    if (plan.sampler !== undefined && decoder.finishReason === undefined)
      await chooseRounds([decoder], undefined, controller);
    if (n === preemptAfter && decoder.finishReason === undefined) kv.tokens.length = 0;
  }
  return tokens;
}

async function write(setup: Setup) {
  const { prompt, settings, fake, nCached = 0, stride = 4, shape = "chain", ...rest } = setup;
  const model = new FakeModel(fake);
  const kv = kvOf(model);
  const planner = setup.planner ?? new FixedPlanner(shape, stride);
  const common = { maxTokens: 24, maxRun: 7, maxRows: 64, endTokens: new Set<number>() };
  const decoderOf = (options: Pick<DecoderOptions, "prompt"> & Partial<DecoderOptions>, own = settings) => {
    const sampler = model.createSampler({ ...neutralSettings, ...own });
    sampler.prompt(Int32Array.from(options.prompt));
    return new Decoder({
      ...common,
      sampler,
      planner,
      proposers: [],
      verification: { mode: "exact" },
      ...options,
    });
  };
  if (nCached > 0) {
    const warmUp = decoderOf({ prompt: prompt.slice(0, nCached + 1), maxTokens: 1 }, neutralSettings);
    await drive(model, kv, warmUp, { prompt, chunkRows: 5, ...(setup.controller && { controller: setup.controller }) });
    kv.tokens.length = Math.min(kv.tokens.length, nCached);
  }
  const before = model.rowCounts.length;
  const logprobs: unknown[] = [];
  const onToken = (drawn: Parameters<NonNullable<DecoderOptions["onToken"]>>[0]) => {
    logprobs.push([drawn.logprob, drawn.top]);
    return setup.onToken?.(drawn) ?? false;
  };
  const decoder = decoderOf({ ...rest, prompt, onToken });
  const tokens = await drive(model, kv, decoder, setup);
  return { tokens, logprobs, decoder, kv, model, rows: model.rowCounts.slice(before) };
}

/** Random trees of random tokens, some of them right, with MASK runs at random anchors. */
class RandomPlanner implements Planner {
  #state: number;
  readonly #truth: readonly number[];

  constructor(seed: number, truth: readonly number[]) {
    this.#state = seed;
    this.#truth = truth;
  }

  lookAhead() {
    return { depth: this.#next(8), width: 3 };
  }

  *plan({ proposers, remaining, maxRun }: PlanContext): Proposing<RoundShape> {
    const proposals: Proposal[] = [];
    const paths: number[][] = [];
    const written = this.#truth.length - remaining;
    for (let i = this.#next(8); i > 0; i--) {
      const parent = this.#next(proposals.length + 1) - 1;
      const path = paths[parent] ?? [];
      if (path.length + 1 >= remaining) continue;
      const right = this.#truth[written + path.length];
      const proposer = proposers[this.#next(proposers.length)];
      const offered = proposer === undefined ? [] : (yield* candidatesAt(proposer, path, 3)).tokens;
      const own = offered[this.#next(offered.length)];
      const token = own ?? (right !== undefined && this.#next(3) > 0 ? right : this.#next(11));
      // Siblings must differ.
      if (proposals.some((other) => other.parent === parent && other.token === token)) continue;
      proposals.push({ token, parent, source: "lookup", rank: 0, confidence: 0, from: undefined });
      paths.push([...path, token]);
    }
    return { proposals, maskRuns: [0, ...proposals].map(() => this.#next(Math.min(maxRun, 4) + 1)) };
  }

  #next(n: number): number {
    this.#state = (Math.imul(this.#state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((this.#state / 2 ** 32) * n);
  }
}

/** Drafts with another fake model; with `hitRate` 1 and the same seed all drafts are right. */
function draftProposer(fake: FakeModelOptions | undefined, settings: Partial<SamplerSettings> | undefined): Proposer {
  const draft = new DraftModel(new FakeModel({ ...fake, nDepths: 0 }), 1000, 16);
  return new DraftProposer(draft, {
    settings: { ...neutralSettings, ...settings },
    proposeFor: "exact",
    endTokens: new Set(),
  });
}

/** Proposes the output of plain decoding. */
function oracle(truth: readonly number[], nPrompt: number): Proposer {
  let at = -nPrompt;
  return {
    kind: "predicted",
    observe: (tokens) => {
      at += tokens.length;
    },
    candidates: (path) => {
      const token = truth[at + path.length];
      return token === undefined ? noCandidates : { tokens: Int32Array.of(token), confidences: Float32Array.of(1) };
    },
  };
}

const setups = fc.record({
  prompt: fc.oneof(
    { weight: 20, arbitrary: fc.array(fc.nat(10), { minLength: 1, maxLength: 40 }) },
    // Long enough for prefill of the draft model in chunks.
    { weight: 1, arbitrary: fc.array(fc.nat(10), { minLength: 70, maxLength: 150 }) },
  ),
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
  proposer: fc.constantFrom("mask", "lookup", "predicted", "draft", "medusa", "oracle", "all", "random"),
  tree: fc.constantFrom(undefined, "dynamic", "static", "auto"),
  cachedShare: fc.constantFrom(0, 0, 0.5, 1),
  preemptAfter: fc.constantFrom(undefined, 1, 2, 5),
  treeSeed: fc.nat(),
});

function planningOf(
  { proposer, tree, stride, treeSeed }: typeof ways extends fc.Arbitrary<infer Way> ? Way : never,
  truth: readonly number[],
): Pick<Setup, "planner" | "controller"> {
  if (proposer === "random") return { planner: new RandomPlanner(treeSeed, truth) };
  const rows = treeSeed % 13;
  const limits = { stride, maxProposals: rows, maxMaskRows: 2 * rows };
  if (tree === "static") return { planner: new StaticTreePlanner(limits) };
  if (tree === undefined) return {};
  if (tree === "auto") {
    const controller = new Controller({ maskShare: 1 });
    // A random history of steps.
    for (let i = 1; i < treeSeed % 30; i++) {
      const rows = (treeSeed % (i + 3)) + 1;
      const step = { tokenRows: rows, drawnRows: rows, maskRows: i % 4, contextRows: 0, draftedTokens: i % 3 };
      controller.observeStep({ ...step, sequences: 1, tokens: 1, ms: 1 + (treeSeed % (7 * i)) });
    }
    return { controller, planner: controller.planner({ shape: "auto", stride, verification: { mode: "exact" } }) };
  }
  const acceptance = new SequenceAcceptance(new AcceptanceModel());
  return { planner: new TreePlanner({ acceptance, width: 3, ...limits }) };
}

describe("Decoder", () => {
  it("generates plain decoding's tokens with any proposers, planner and chunks", async () => {
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
        const one = {
          mask: () => new MaskProposer(),
          lookup: () => new LookupProposer(),
          // Nearly right: every seventh token is wrong, or missing.
          predicted: () =>
            new PredictedProposer(
              plain.tokens.flatMap((token, i) =>
                i % 7 < 6 ? [token] : way.treeSeed % 2 === 0 ? [] : [(token + 1) % 11],
              ),
            ),
          medusa: () => new MedusaProposer(),
          draft: () => draftProposer(setup.fake, setup.settings),
          oracle: () => oracle(plain.tokens, setup.prompt.length),
        };
        const isOne = way.proposer in one;
        const proposers = isOne
          ? [one[way.proposer as keyof typeof one]()]
          : [one.predicted(), one.draft(), one.medusa(), one.mask(), one.lookup(), one.oracle()];
        const nCached = Math.floor(way.cachedShare * (setup.prompt.length - 1));
        const { stride, shape, chunkRows, preemptAfter } = way;
        const fast = await write({
          ...common,
          ...planningOf(way, plain.tokens),
          stride,
          shape,
          chunkRows,
          nCached,
          proposers,
          ...(preemptAfter === undefined ? {} : { preemptAfter }),
        });
        expect(fast.tokens).toEqual(plain.tokens);
        expect(fast.logprobs).toEqual(plain.logprobs);
        expect(fast.decoder.finishReason).toBe(plain.decoder.finishReason);
        expect(fast.decoder.nDrawn).toBe(plain.decoder.nDrawn);
        expect(fast.decoder.forwards).toBeLessThanOrEqual(plain.decoder.forwards);
        expect(plain.decoder.forwards).toBe(plain.decoder.nDrawn);
        // The cache has exactly the verified tokens.
        const whole = [
          ...setup.prompt,
          ...plain.tokens,
          ...(plain.decoder.nDrawn > plain.tokens.length ? [endToken] : []),
        ];
        expect(fast.kv.tokens).toEqual(whole.slice(0, fast.kv.tokens.length));
        expect(fast.kv.tokens.length).toBeGreaterThanOrEqual(whole.length - 1);
        expect(fast.kv.tokens.length).toBeLessThanOrEqual(whole.length);
        const { proposed, accepted, byDepth } = fast.decoder.acceptance;
        expect(accepted.every((n, i) => n <= (proposed[i] ?? 0))).toBe(true);
        expect(byDepth.every((share) => share >= 0 && share <= 1)).toBe(true);
        const sum = accepted.reduce((total, n) => total + n, 0);
        // Every forward yields one token of its own; the others are accepted proposals.
        expect(fast.decoder.nDrawn).toBeGreaterThanOrEqual(sum);
        expect(fast.decoder.nDrawn).toBeLessThanOrEqual(fast.decoder.forwards + sum);
      }),
      { numRuns: 1500 },
    );
  });

  it.each([2, 3, 4, 8])(
    "needs one forward and then one per %i tokens if every proposal is accepted",
    async (stride) => {
      const maxTokens = 41;
      const { decoder, tokens } = await write({
        prompt: [1, 2, 3],
        proposers: [new MaskProposer()],
        stride,
        maxTokens,
        fake: { hitRate: 1 },
      });
      expect(tokens.length).toBe(maxTokens);
      expect(decoder.forwards).toBe(1 + Math.ceil((maxTokens - 1) / stride));
      expect(decoder.acceptance.byDepth).toEqual(new Array(stride - 1).fill(1));
    },
  );

  it.each([2, 3, 8])("needs one forward per %i tokens if every draft is accepted", async (stride) => {
    const fake = { hitRate: 1 };
    const settings = { temperature: 1, seed: 3, repetitionPenalty: 1.3, frequencyPenalty: 0.4 };
    const setup = { prompt: [1, 2, 3], stride, maxTokens: 41, fake, settings };
    const { decoder } = await write({ ...setup, proposers: [draftProposer(fake, settings)] });
    expect(decoder.forwards).toBe(Math.ceil(41 / stride));
    expect(decoder.acceptance.byDepth).toEqual(new Array(stride - 1).fill(1));
  });

  it("starts cold after a rejection in a chain, and never in a quadratic round", async () => {
    // If nothing is accepted, a chain proposes only in every second round.
    const setup = {
      prompt: [1, 2, 3],
      stride: 3,
      maxTokens: 21,
      fake: { hitRate: 0 },
    };
    const chain = await write({ ...setup, proposers: [new MaskProposer()], shape: "chain" });
    const quadratic = await write({ ...setup, proposers: [new MaskProposer()], shape: "quadratic" });
    expect(chain.decoder.forwards).toBe(21);
    expect(chain.decoder.acceptance.proposed[0]).toBe(10);
    expect(quadratic.decoder.acceptance.proposed[0]).toBe(19);
    expect(quadratic.tokens).toEqual(chain.tokens);
  });

  it("lays out the rows of the paper's rounds", async () => {
    const setup = {
      prompt: [1, 2, 3],
      stride: 3,
      maxTokens: 30,
      fake: { hitRate: 1 },
    };
    // The prompt and a run of two; then a pending token, two proposals, and their runs.
    expect((await write({ ...setup, proposers: [new MaskProposer()], shape: "chain" })).rows.slice(0, 4)).toEqual([
      5, 5, 5, 5,
    ]);
    expect((await write({ ...setup, proposers: [new MaskProposer()], shape: "quadratic" })).rows.slice(0, 4)).toEqual([
      5, 9, 9, 9,
    ]);
  });

  it("makes no rows beyond maxTokens", async () => {
    const setup = { prompt: [1], stride: 8, fake: { hitRate: 1 } };
    expect((await write({ ...setup, proposers: [new MaskProposer()], maxTokens: 1 })).rows).toEqual([1]);
    expect((await write({ ...setup, proposers: [new MaskProposer()], maxTokens: 2 })).rows).toEqual([1, 1]);
    expect((await write({ ...setup, proposers: [new MaskProposer()], maxTokens: 3 })).rows).toEqual([2, 2]);
    expect((await write({ ...setup, proposers: [new MaskProposer()], maxTokens: 9 })).rows).toEqual([8, 8]);
  });

  it("chunks the prompt and draws in its last forward", async () => {
    const prompt = Array.from({ length: 23 }, (_, i) => i % 11);
    const { rows, decoder } = await write({
      prompt,
      proposers: [new MaskProposer()],
      stride: 3,
      maxTokens: 4,
      chunkRows: 10,
      fake: { hitRate: 1 },
    });
    expect(rows).toEqual([10, 10, 5, 3 + 0]);
    expect(decoder.forwards).toBe(2);
  });

  it("stops after the running forward when it is cancelled", async () => {
    const controller = new AbortController();
    const tokens: number[] = [];
    const onToken = () => {
      if (tokens.push(0) === 5) controller.abort();
      return false;
    };
    const { decoder } = await write({ prompt: [1, 2], onToken, signal: controller.signal, stride: 1 });
    expect(decoder.finishReason).toBe(undefined);
    expect(tokens.length).toBe(5);
  });
});
