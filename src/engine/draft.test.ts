import fc from "fast-check";
import { afterEach, describe, expect, it, vi } from "vitest";
import { engineOver } from "../../test/support/fake-engine.ts";
import { FakeModel } from "../../test/support/fake-model.ts";
import { TableModel } from "../../test/support/table-model.ts";
import { Controller } from "../decoding/controller.ts";
import { DraftModel } from "../decoding/draft-model.ts";
import type { GenerateRequest } from "./types.ts";

const VOCABULARY = 6;
const CONTEXT = 60;

/** An engine whose draft model has pages for one context, or for many. */
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
    /** Parts after which its reader has enough; undefined: never. */
    patience: fc.option(fc.nat(4), { nil: undefined, freq: 3 }),
  }),
  { minLength: 2, maxLength: 8 },
);

describe("texts that a draft model drafts for", () => {
  it("depend on no other text, however few pages there are, and end or are cancelled", async () => {
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
        // Nothing is left that waits, and no page is lost.
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

describe("the controller of texts that a draft model drafts for", () => {
  afterEach(() => void vi.restoreAllMocks());

  it.each(["auto", "chain"] as const)("sees the drafted tokens and the time that they took (%s)", async (shape) => {
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
    // Each drafted token is a forward of a text that is alone.
    expect(drafted).toBe(drafting.rowCounts.length);
    expect(drafted).toBeGreaterThan(10);
    for (const { ms, draftedTokens } of steps) expect(ms).toBeGreaterThanOrEqual(draftedTokens * tookMs);
    await engine.dispose();
  });
});
