import fc from "fast-check";
import { afterEach, describe, expect, it, vi } from "vitest";
import { engineOver } from "../../../test/support/fake-engine.ts";
import { FakeModel } from "../../../test/support/fake-model.ts";
import { TableModel } from "../../../test/support/table-model.ts";
import { Controller } from "../../decoding/controller/controller.ts";
import { DraftModel } from "../../decoding/proposers/draft-model.ts";
import type { GenerateRequest } from "../types.ts";

const VOCABULARY = 6;
const CONTEXT = 60;

/** An engine whose draft model has `nDraftPages` pages. */
function engineWith(nDraftPages: number) {
  const drafting = new TableModel({ vocabSize: VOCABULARY, seed: 8 });
  const draft = new DraftModel(drafting, 1000, nDraftPages);
  return engineOver(new TableModel({ vocabSize: VOCABULARY, seed: 3 }), { context: CONTEXT, draft });
}

const requests = fc.array(
  fc.record({
    request: fc.record({
      ids: fc.array(fc.nat(VOCABULARY - 1), { minLength: 1, maxLength: 45 }),
      maxTokens: fc.integer({ min: 1, max: 15 }),
      seed: fc.nat(1000),
      temperature: fc.constantFrom(0.7, 1),
      stride: fc.integer({ min: 2, max: 5 }),
      shape: fc.constantFrom("chain" as const, "tree" as const),
      verify: fc.constantFrom("rejection" as const, "rejection" as const, "relaxed" as const, "exact" as const),
    }),
    /** Parts after which its reader stops; undefined: never. */
    patience: fc.option(fc.nat(4), { nil: undefined, freq: 3 }),
  }),
  { minLength: 2, maxLength: 8 },
);

describe("texts that a draft model drafts for", () => {
  it("do not depend on other sequences, however few pages there are, and end or are cancelled", async () => {
    await fc.assert(
      fc.asyncProperty(requests, async (arrivals) => {
        const engine = engineWith(Math.ceil(CONTEXT / 16));
        const roomy = engineWith(1000);
        const written = arrivals.map(async ({ request, patience }) => {
          const way: GenerateRequest = { ...request, propose: "draft" };
          const stop = new AbortController();
          const generation = engine.generate({ ...way, signal: stop.signal });
          if (patience === 0) stop.abort();
          const tokens: number[] = [];
          let nParts = 0;
          for await (const part of generation) {
            tokens.push(...part.tokens);
            if (++nParts === patience) break;
          }
          return { way, tokens, result: await generation.result };
        });
        for (const { way, tokens, result } of await Promise.all(written)) {
          const alone = await roomy.generate(way).result;
          const expected = alone.tokens.slice(0, result.tokens.length);
          expect(result.tokens).toEqual(expected);
          expect(result.tokens.slice(0, tokens.length)).toEqual(tokens);
          if (result.finishReason !== "cancelled") {
            expect(result.tokens).toEqual(alone.tokens);
            if (way.verify !== "exact") expect(result.rounds).toEqual(alone.rounds);
          }
        }
        // Nothing waits any more, and no page is leaked.
        const last = {
          ids: new Array<number>(CONTEXT - 4).fill(1),
          temperature: 1,
          stride: 4,
          propose: "draft",
        } as const;
        const [again, alone] = await Promise.all([engine, roomy].map((one) => one.generate(last).result));
        expect(again?.rounds).toEqual(alone?.rounds);
        await engine.dispose();
        await roomy.dispose();
      }),
      { numRuns: 25 },
    );
  });
});

describe("a text with a long prompt that a draft model drafts for", () => {
  const LONG = 400;
  const seeds = { vocabSize: VOCABULARY, seed: 3 };
  const longRequests = fc.array(
    fc.record({
      nIds: fc.integer({ min: 1, max: LONG - 20 }),
      maxTokens: fc.integer({ min: 1, max: 20 }),
      seed: fc.nat(1000),
      stride: fc.integer({ min: 2, max: 5 }),
      shape: fc.constantFrom("chain" as const, "tree" as const),
      verify: fc.constantFrom("rejection" as const, "rejection" as const, "exact" as const),
      priority: fc.constantFrom(0, 0, 3),
      /** Turns of the event loop before the request, and before it is cancelled. */
      after: fc.nat(20),
      patience: fc.option(fc.nat(20), { nil: undefined, freq: 4 }),
    }),
    { minLength: 1, maxLength: 4 },
  );

  function longEngine(nDraftPages: number, nPages?: number) {
    const model = new TableModel(seeds);
    const draft = new DraftModel(new TableModel({ ...seeds, seed: 8 }), 1000, nDraftPages);
    return engineOver(model, { context: LONG, draft, ...(nPages === undefined ? {} : { nPages }) });
  }

  const turns = async (n: number) => {
    for (let i = 0; i < n; i++) await new Promise((resolve) => setImmediate(resolve));
  };

  it("is the same beside others, in chunks of any size, however few pages there are", async () => {
    const rooms = fc.constantFrom([26, 30], [60, 40], [200, undefined] as const);
    await fc.assert(
      fc.asyncProperty(longRequests, rooms, fc.boolean(), async (arrivals, [nDraftPages, nPages], isDecoding) => {
        const engine = longEngine(nDraftPages as number, nPages);
        const roomy = longEngine(1000);
        // Beside a decoding sequence, prompts are prefilled in small chunks.
        const plain = { ids: [1], temperature: 1, propose: "none" } as const;
        const beside = engine.generate({ ...plain, maxTokens: isDecoding ? 60 : 1 }).result;
        const written = arrivals.map(async ({ nIds, after, patience, ...how }) => {
          const ids = Array.from({ length: nIds }, (_, i) => (i * i + how.seed) % VOCABULARY);
          const way: GenerateRequest = { ...how, ids, temperature: 1, propose: "draft" };
          await turns(after);
          const stop = new AbortController();
          const { result } = engine.generate({ ...way, signal: stop.signal });
          if (patience !== undefined) void turns(patience).then(() => stop.abort());
          return { way, result: await result };
        });
        for (const { way, result } of await Promise.all(written)) {
          const { stride, shape, verify, ...same } = way;
          const alone = await roomy.generate(verify === "exact" ? { ...same, propose: "none" } : way).result;
          if (result.finishReason === "cancelled") {
            expect(result.tokens).toEqual(alone.tokens.slice(0, result.tokens.length));
          } else {
            expect(result.tokens).toEqual(alone.tokens);
            if (verify !== "exact") expect(result.rounds).toEqual(alone.rounds);
          }
        }
        expect((await beside).finishReason).toBe("length");
        // No page is leaked.
        const how = { temperature: 1, stride: 4, propose: "draft", verify: "rejection" } as const;
        const last = { ...how, ids: new Array<number>(LONG - 8).fill(1) };
        const [again, alone] = await Promise.all([engine, roomy].map((one) => one.generate(last).result));
        expect(again?.rounds).toEqual(alone?.rounds);
        await engine.dispose();
        await roomy.dispose();
      }),
      { numRuns: 40 },
    );
  });

  it.each(["exact", "rejection"] as const)(
    "does not delay others while the draft model prefills (%s)",
    async (verify) => {
      const target = new FakeModel({ seed: 1, nDepths: 0 });
      const drafting = new FakeModel({ seed: 2, nDepths: 0, hitRate: 1 });
      const draft = new DraftModel(drafting, 3000, 1000);
      const engine = engineOver(target, { context: 3000, draft });
      const long = () => {
        const ids = Array.from({ length: 1000 }, (_, i) => (i * i) % 11);
        return engine.generate({ ids, maxTokens: 12, propose: "draft", stride: 4, verify }).result;
      };
      const drafted: ReturnType<typeof long>[] = [];
      /** Draft rows before each forward. */
      const before: number[] = [];
      let nRows = 0;
      target.onForward = () => {
        before.push(nRows);
        nRows = 0;
        // The second prompt is in the prefix cache, but the draft model still has to prefill it.
        if (before.length === 10 || before.length === 60) drafted.push(long());
      };
      drafting.onForward = () => {
        nRows += drafting.rowCounts.at(-1) as number;
      };
      await engine.generate({ ids: [1, 2, 3], maxTokens: 150, propose: "none" }).result;
      const [first, second] = await Promise.all(drafted);
      expect(second?.cachedTokens).toBeGreaterThan(900);
      expect(second?.tokens).toEqual(first?.tokens);
      // A chunk of the prompt, and a draft.
      expect(Math.max(...before)).toBeLessThanOrEqual(64 + 64 + 3);
      // In exact mode the second one does not wait for the draft model.
      expect(before.reduce((sum, n) => sum + n, 0)).toBeGreaterThan(verify === "exact" ? 1000 : 2000);
      expect(first?.proposedByDepth.length).toBe(3);
      expect(second?.proposedByDepth.length).toBe(verify === "exact" ? 0 : 3);
      await engine.dispose();
    },
  );
});

describe("the controller of texts that a draft model drafts for", () => {
  afterEach(() => void vi.restoreAllMocks());

  it.each(["auto", "chain"] as const)("observes the drafted tokens and their time (%s)", async (shape) => {
    const observe = vi.spyOn(Controller.prototype, "observeStep");
    const drafting = new FakeModel({ seed: 2, nDepths: 0, hitRate: 1 });
    const engine = engineOver(new FakeModel({ seed: 2, nDepths: 0 }), { draft: new DraftModel(drafting, 1000, 100) });
    const tookMs = 2;
    drafting.onForward = () => {
      for (const end = performance.now() + tookMs; performance.now() < end; );
    };
    await engine.generate({ ids: [1, 2, 3], maxTokens: 40, propose: "draft", shape }).result;
    const steps = observe.mock.calls.map(([step]) => step);
    const drafted = steps.reduce((sum, { draftedTokens }) => sum + draftedTokens, 0);
    // A sequence that runs alone needs one forward per drafted token.
    expect(drafted).toBe(drafting.rowCounts.length);
    expect(drafted).toBeGreaterThan(10);
    for (const { ms, draftedTokens } of steps) expect(ms).toBeGreaterThanOrEqual(draftedTokens * tookMs);
    await engine.dispose();
  });
});
