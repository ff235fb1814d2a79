import fc from "fast-check";
import { expect, it } from "vitest";
import { FakeModel } from "../../../test/support/fake-model.ts";
import { fakeTokenizer } from "../../../test/support/fake-tokenizer.ts";
import { type Forest, PAGE_SIZE } from "../../compute/forest/forest.ts";
import type { KvCache, SamplingRequests } from "../../compute/loaded-model.ts";
import { Controller } from "../../decoding/controller/controller.ts";
import { KvSequence } from "../kv/kv-sequence.ts";
import { PagePool, pagesFor } from "../kv/page-pool.ts";
import { MAX_ROUND_ROWS } from "../limits.ts";
import { GenerationStream } from "../output/generation.ts";
import { score } from "../score.ts";
import { type CheckedRequest, checkRequest, type RequestLimits, withPrompt } from "../request/request.ts";
import type { GenerateRequest, GenerationResult, ScoredToken } from "../types.ts";
import { BatchLoop } from "./batch-loop.ts";
import { Mutex } from "./mutex.ts";
import { Scheduler } from "./scheduler.ts";
import { Sequence } from "./sequence.ts";

const CONTEXT = 160;
const MAX_QUEUE = 4;
const bareLimits = {
  ...{
    vocabSize: 11,
    context: CONTEXT,
    mask: undefined,
    adapterPath: "",
    tokenizer: fakeTokenizer,
    grammars: undefined,
    endTokens: new Set<number>(),
  },
  ...{ nExtraHeads: 0, hasDraft: false },
};
const backend = { name: "reference", instructionSet: "typescript", threads: 1, numerics: 1 } as const;

/** A model that detects writes to pages of the prefix cache. */
class GuardedModel extends FakeModel {
  pool: PagePool | undefined;

  override forward(forest: Forest, cache: KvCache, sampling?: SamplingRequests) {
    const shared = new Set(this.pool?.contents().blocks.map(({ page }) => page));
    const used = forest.sequences.map(({ length }) => length);
    const written = new Set<string>();
    for (const own of forest.sequence) {
      const slot = used[own] as number;
      used[own] = slot + 1;
      const page = forest.sequences[own]?.pages[Math.floor(slot / PAGE_SIZE)] as number;
      if (shared.has(page)) throw new Error("a write to a shared page");
      if (written.has(`${page}:${slot % PAGE_SIZE}`)) throw new Error("two writes to one slot");
      written.add(`${page}:${slot % PAGE_SIZE}`);
    }
    return super.forward(forest, cache, sampling);
  }
}

interface Arrival {
  readonly step: number;
  readonly request: GenerateRequest;
  /** Steps until it is cancelled; undefined: never. */
  readonly patience: number | undefined;
  /** Steps between two reads; 0: only the result is awaited. */
  readonly readEvery: number;
}

interface Seen {
  readonly arrival: Arrival;
  readonly sequence: Sequence;
  readonly stream: GenerationStream;
  result?: GenerationResult;
  read: string;
  isRead: boolean;
  promptLogprobs: readonly ScoredToken[];
  /** Step in which it ended. */
  ended?: number;
}

const beginnings = [[1, 2, 3], Array.from({ length: 50 }, (_, i) => (i * 3) % 11), Array.from({ length: 70 }, () => 4)];

const arrivals = fc.array(
  fc.record({
    step: fc.nat(200),
    request: fc
      .record({
        beginning: fc.constantFrom(...beginnings),
        rest: fc.array(fc.nat(10), { maxLength: 20 }),
        maxTokens: fc.integer({ min: 1, max: 120 }),
        propose: fc.constantFrom("none" as const, "mask" as const, "lookup" as const),
        stride: fc.integer({ min: 1, max: 8 }),
        shape: fc.constantFrom("chain" as const, "quadratic" as const),
        temperature: fc.constantFrom(0, 1),
        seed: fc.nat(3),
        priority: fc.constantFrom(0, 0, 0, -2, 1, 5),
        share: fc.constantFrom("a", "a", "b", "c"),
        promptLogprobs: fc.constantFrom(undefined, undefined, 0, 2),
      })
      .map(({ beginning, rest, propose, stride, shape, ...how }): GenerateRequest => {
        const ids = [...beginning, ...rest];
        return propose === "none" ? { ...how, ids, propose } : { ...how, ids, propose, stride, shape };
      }),
    patience: fc.option(fc.nat(30), { nil: undefined, freq: 4 }),
    readEvery: fc.constantFrom(0, 0, 1, 3, 20, 60),
  }),
  { minLength: 60, maxLength: 120 },
);

/** Runs the parts of an engine step by step. */
async function simulate(plan: readonly Arrival[], seed: number, nPages: number, maxSequences: number) {
  const model = new GuardedModel({ seed, hitRate: 0.6 });
  const pool = new PagePool(model, nPages);
  model.pool = pool;
  const scheduler = new Scheduler(pool, { maxSequences });
  const controller = new Controller({ maskShare: 1 });
  const loop = new BatchLoop({ controller, model, pool, scheduler, mutex: new Mutex() });
  const parts = { model, draft: undefined, controller, backend, tokenizer: fakeTokenizer, endTokens: new Set([5]) };
  const limits = { ...bareLimits, mask: model.program.mask };
  const coming = [...plan].sort((a, b) => a.step - b.step);
  const all: Seen[] = [];
  const onTick = new Set<() => void>();
  let step = 0;
  let nPaused = 0;
  let nRefused = 0;
  let maxUnfinished = 0;

  const start = (arrival: Arrival) => {
    if (scheduler.occupancy >= maxSequences + MAX_QUEUE) {
      nRefused++;
      return;
    }
    const abort = new AbortController();
    const stream = new GenerationStream([abort.signal], 4);
    const sequence = new Sequence(parts, checked(arrival.request, limits), new KvSequence(pool), stream);
    const seen: Seen = { arrival, sequence, stream, read: "", isRead: arrival.readEvery === 0, promptLogprobs: [] };
    all.push(seen);
    void stream.result.then((result) => {
      seen.result = result;
      seen.ended = step;
    });
    void stream.promptLogprobs.then((tokens) => {
      seen.promptLogprobs = tokens;
    });
    if (arrival.readEvery > 0) void read(seen).catch(() => {});
    if (arrival.patience !== undefined) {
      const at = step + arrival.patience;
      onTick.add(() => step >= at && abort.abort());
    }
    loop.add(sequence);
  };
  const read = async (seen: Seen) => {
    for await (const { text } of seen.stream) {
      seen.read += text;
      const next = step + seen.arrival.readEvery;
      await new Promise<void>((resolve) => onTick.add(() => step >= next && resolve()));
    }
    seen.isRead = true;
  };
  const tick = () => {
    step++;
    while (coming[0] !== undefined && coming[0].step <= step) start(coming.shift() as Arrival);
    for (const look of onTick) look();
    for (const { sequence } of all) nPaused += sequence.stream.needsDrain ? 1 : 0;
    maxUnfinished = Math.max(maxUnfinished, all.filter(({ stream }) => !stream.isEnded).length);
  };
  model.onForward = tick;
  while (coming.length > 0 || all.some(({ result, isRead }) => result === undefined || !isRead)) {
    // Nothing runs: advance the time.
    await loop.idle();
    tick();
    await new Promise((resolve) => setImmediate(resolve));
  }
  await loop.idle();
  return { pool, scheduler, all, nPaused, nRefused, maxUnfinished, steps: step };
}

/** A request without messages. */
function checked(request: GenerateRequest, limits: RequestLimits): CheckedRequest {
  return withPrompt(checkRequest(request, limits), request, limits) as CheckedRequest;
}

/** Log-probabilities of a prompt's tokens, from an empty cache. */
async function plainScores(model: FakeModel, { ids = [], promptLogprobs: logprobs }: GenerateRequest) {
  if (logprobs === undefined) return [];
  const context = { model, tokenizer: undefined, contextLength: CONTEXT, run: <T>(work: () => T) => work() };
  return (await score(context, { ids, logprobs })).tokens;
}

/** One token per forward, from an empty cache. */
async function plainTokens(model: FakeModel, request: GenerateRequest, endToken: number) {
  const { settings, ids, maxTokens } = checked(request, bareLimits);
  const cache = model.createCache(pagesFor(CONTEXT));
  const pages = Array.from({ length: cache.nPages }, (_, i) => i);
  const sampler = model.createSampler(settings);
  sampler.prompt(Int32Array.from(ids));
  const tokens: number[] = [];
  for (let fed = 0, next = ids; tokens.length < maxTokens; ) {
    const rows = Int32Array.from(next, (_, i) => i);
    const { drawn } = await model.forward(
      {
        sequences: [{ length: fed, pages }],
        tokens: Int32Array.from(next),
        positions: rows.map((i) => fed + i),
        parents: rows.map((i) => i - 1),
        gate: new Uint8Array(rows.length),
        sequence: new Int32Array(rows.length),
        needsOutput: Uint8Array.from(rows, (i) => (i === rows.length - 1 ? 1 : 0)),
      },
      cache,
      { draws: [{ row: rows.length - 1, sampler, position: fed + rows.length, unverified: [] }] },
    );
    const token = drawn[0]?.token as number;
    if (token === endToken) return { tokens, finishReason: "stop" };
    tokens.push(token);
    sampler.accept(token);
    fed += next.length;
    next = [token];
  }
  return { tokens, finishReason: "length" };
}

const onePool = pagesFor(CONTEXT + MAX_ROUND_ROWS);

it("generates the tokens of plain decoding under any arrivals, cancellations and pauses, and leaks no page", async () => {
  const totals = { preempted: 0, cancelled: 0, cached: 0, paused: 0, refused: 0, scored: 0, texts: 0 };
  await fc.assert(
    fc.asyncProperty(
      ...[arrivals, fc.nat(1000), fc.integer({ min: onePool, max: 2 * onePool }), fc.integer({ min: 1, max: 8 })],
      async (plan, seed, nPages, maxSequences) => {
        const ran = await simulate(plan, seed, nPages, maxSequences);
        const { pool, scheduler, all, steps } = ran;
        const plain = new FakeModel({ seed });
        let work = 0;
        for (const { arrival, result, read, promptLogprobs } of all) {
          if (result === undefined) throw new Error("no result");
          const isCancelled = result.finishReason === "cancelled" && promptLogprobs.length === 0;
          if (!isCancelled) expect(promptLogprobs).toEqual(await plainScores(plain, arrival.request));
          totals.scored += promptLogprobs.length > 0 ? 1 : 0;
          const { propose, stride, shape, ...request } = arrival.request;
          const expected = await plainTokens(plain, { ...request, propose: "none" }, 5);
          const tokens = expected.tokens.slice(0, result.tokens.length);
          expect(result.tokens).toEqual(tokens);
          if (result.finishReason === "cancelled") expect(arrival.patience).toBeDefined();
          else expect(result).toMatchObject(expected);
          expect(result.text).toBe(fakeTokenizer.decode(tokens));
          if (arrival.readEvery > 0) expect(read).toBe(result.text);
          totals.cached += result.cachedTokens;
          totals.cancelled += result.finishReason === "cancelled" ? 1 : 0;
          // One forward per token, two for the prompt, and the steps of the slowest reader.
          work += 2 + tokens.length * Math.max(1, arrival.readEvery);
        }
        totals.preempted += scheduler.nPreempted;
        totals.paused += ran.nPaused;
        totals.refused += ran.nRefused;
        totals.texts += all.length;
        expect(ran.maxUnfinished).toBeLessThanOrEqual(2 * maxSequences + MAX_QUEUE);
        // Even if the requests ran one after the other, all would be done by now.
        expect(steps).toBeLessThan(210 + 2 * work);
        const { free, blocks, partialPages } = pool.contents();
        const pages = [...free, ...blocks.map(({ page }) => page), ...partialPages.map(({ page }) => page)];
        expect([...pages].sort((a, b) => a - b)).toEqual(Array.from({ length: nPages }, (_, i) => i));
        expect(blocks.filter(({ refCount }) => refCount !== 0)).toEqual([]);
        expect(pool.nAvailable).toBe(nPages);
        expect(scheduler.occupancy).toBe(0);
      },
    ),
    { numRuns: Number(process.env.IDLM_SIMULATIONS ?? 20) },
  );
  // Each case has to occur often enough.
  const { texts, ...others } = totals;
  expect(Math.min(...Object.values(others))).toBeGreaterThan(100);
  expect(texts).toBeGreaterThan(1000);
}, 300_000);
