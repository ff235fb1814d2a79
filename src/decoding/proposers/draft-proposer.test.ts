import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FakeModel, type FakeModelOptions } from "../../../test/support/fake-model.ts";
import { PAGE_SIZE } from "../../compute/forest/forest.ts";
import type { ProposeFor } from "../../compute/sampling/proposal.ts";
import { neutralSettings } from "../../compute/sampling/settings.ts";
import { DraftModel } from "./draft-model.ts";
import { DraftProposer } from "./draft-proposer.ts";

const settings = { ...neutralSettings, temperature: 1, seed: 5, repetitionPenalty: 1.2, frequencyPenalty: 0.3 };

function draftOf(options: FakeModelOptions & { nPages?: number; contextLength?: number } = {}) {
  const { nPages = 64, contextLength = 10_000, ...fake } = options;
  const model = new FakeModel({ nDepths: 0, hitRate: 1, ...fake });
  return { model, draft: new DraftModel(model, contextLength, nPages) };
}

function proposerOf(
  draft: DraftModel,
  endTokens: readonly number[] = [],
  proposeFor: ProposeFor = "exact",
): DraftProposer {
  return new DraftProposer(draft, { settings, proposeFor, endTokens: new Set(endTokens) });
}

/** Prefills in chunks while needed, then drafts. */
async function prefillAndPrepare(proposer: DraftProposer, depth: number, pieceTokens = 100): Promise<void> {
  while (proposer.needsPrefill) await proposer.prefill({ tokens: pieceTokens }, undefined);
  await proposer.prepare(depth, 1, undefined);
}

/** Checks that a sequence can use all pages: none was leaked. */
async function expectAllPagesFree(draft: DraftModel, nPages: number): Promise<void> {
  const last = proposerOf(draft, [], "rejection");
  last.observe(Array.from({ length: nPages * PAGE_SIZE - 3 }, (_, i) => i % 7));
  await last.prepare(3, 1, undefined);
  expect(chainOf(last, 3).length).toBe(3);
}

/** Continuation by the draft model alone, from an empty cache. */
async function continued(prompt: readonly number[], text: readonly number[], depth: number): Promise<number[]> {
  const { draft } = draftOf();
  const proposer = proposerOf(draft);
  proposer.observe(prompt);
  proposer.observe(text);
  await prefillAndPrepare(proposer, depth);
  return chainOf(proposer, depth);
}

function chainOf(proposer: DraftProposer, depth: number): number[] {
  const path: number[] = [];
  for (let i = 0; i < depth; i++) {
    const [token] = proposer.candidates(path, 1).tokens;
    if (token === undefined) break;
    path.push(token);
  }
  return path;
}

describe("DraftProposer", () => {
  it("drafts the same after rejected drafts", async () => {
    const round = fc.record({
      text: fc.array(fc.nat(10), { maxLength: 5 }),
      nKept: fc.nat(6),
      depth: fc.integer({ min: 1, max: 6 }),
      pieceTokens: fc.integer({ min: 40, max: 300 }),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.nat(10), { minLength: 1, maxLength: 600 }),
        fc.array(round, { minLength: 1, maxLength: 5 }),
        async (prompt, rounds) => {
          const { draft } = draftOf();
          const proposer = proposerOf(draft);
          proposer.observe(prompt);
          const text: number[] = [];
          for (const { text: other, nKept, depth, pieceTokens } of rounds) {
            await prefillAndPrepare(proposer, depth, pieceTokens);
            const chain = chainOf(proposer, depth);
            expect(chain.length).toBe(depth);
            expect(chain).toEqual(await continued(prompt, text, depth));
            // Part of the draft was accepted; then another token was drawn.
            const more = [...chain.slice(0, nKept), ...other];
            proposer.observe(more);
            text.push(...more);
          }
        },
      ),
      { numRuns: 100 },
    );
  });

  it("computes no row twice if its draft is accepted", async () => {
    const { draft, model } = draftOf();
    const proposer = proposerOf(draft);
    proposer.observe([1, 2, 3]);
    await proposer.prepare(3, 1, undefined);
    proposer.observe([...chainOf(proposer, 3), 4]);
    await proposer.prepare(3, 1, undefined);
    // The prompt and two drafts; the third draft with the token after it, and two more.
    expect(model.rowCounts).toEqual([3, 1, 1, 2, 1, 1]);
  });

  it("offers alternatives along its chain only", async () => {
    const { draft } = draftOf();
    const proposer = proposerOf(draft);
    proposer.observe([1, 2, 3]);
    await proposer.prepare(2, 3, undefined);
    const [first, second, third] = proposer.candidates([], 5).tokens;
    expect(new Set([first, second, third]).size).toBe(3);
    expect(proposer.candidates([], 2).tokens.length).toBe(2);
    expect(proposer.candidates([first as number], 3).tokens.length).toBe(3);
    expect(proposer.candidates([second as number], 3).tokens.length).toBe(0);
    expect(proposer.candidates(chainOf(proposer, 2), 3).tokens.length).toBe(0);
    proposer.observe([first as number]);
    expect(proposer.candidates([], 3).tokens.length).toBe(0);
  });

  it("drafts nothing after an end token or beyond its context", async () => {
    const { draft } = draftOf();
    const [first, second] = await continued([1, 2, 3], [], 2);
    const ending = proposerOf(draft, [second as number]);
    ending.observe([1, 2, 3]);
    await ending.prepare(6, 1, undefined);
    expect(chainOf(ending, 6)).toEqual(first === second ? [first] : [first, second]);
    const short = proposerOf(draftOf({ contextLength: 5 }).draft);
    short.observe([1, 2, 3]);
    await short.prepare(6, 1, undefined);
    expect(chainOf(short, 6).length).toBe(2);
    short.observe([1, 2]);
    await short.prepare(6, 1, undefined);
    expect(chainOf(short, 6).length).toBe(0);
  });

  it("stops between two forwards when it is cancelled", async () => {
    const { draft, model } = draftOf();
    const proposer = proposerOf(draft);
    proposer.observe([1, 2, 3]);
    const controller = new AbortController();
    model.onForward = () => {
      if (model.rowCounts.length === 2) controller.abort();
    };
    await proposer.prepare(6, 1, controller.signal);
    expect(model.rowCounts.length).toBe(2);
    await proposer.prepare(6, 1, controller.signal);
    expect(model.rowCounts.length).toBe(2);
  });

  it("runs concurrent steps of several sequences in one forward", async () => {
    const { draft, model } = draftOf();
    const prompts = [[1], [2, 3], Array.from({ length: 300 }, (_, i) => i % 11), [4, 5, 6]];
    const proposers = prompts.map((prompt) => {
      const proposer = proposerOf(draft, [], "rejection");
      proposer.observe(prompt);
      return proposer;
    });
    await Promise.all(proposers.map((proposer) => proposer.prepare(3, 1, undefined)));
    for (const [i, prompt] of prompts.entries()) {
      expect(chainOf(proposers[i] as DraftProposer, 3)).toEqual(await continued(prompt, [], 3));
    }
    // The long prompt is prefilled in two chunks.
    expect(model.rowCounts.length).toBe(4);
  });

  it("drafts correctly or not at all when sequences compete for pages, and leaks none", async () => {
    const nPages = 12;
    const lengths = fc.array(fc.integer({ min: 1, max: 10 * PAGE_SIZE }), { minLength: 2, maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(lengths, fc.array(fc.nat(30), { minLength: 1, maxLength: 12 }), async (sizes, turns) => {
        const { draft, model } = draftOf({ nPages });
        const texts = sizes.map((n, i) => Array.from({ length: n }, (_, j) => (i + j) % 11));
        const proposers = texts.map((text) => {
          const proposer = proposerOf(draft);
          proposer.observe(text);
          return proposer;
        });
        for (const turn of turns) {
          // Some sequences draft or prefill at the same time.
          const chosen = proposers.map((_, i) => i).filter((i) => ((turn + 1) >> i) & 1);
          const room = { tokens: 100 };
          const nBefore = model.rowCounts.reduce((sum, n) => sum + n, 0);
          const work = chosen.map((i) => {
            const proposer = proposers[i] as DraftProposer;
            return proposer.needsPrefill ? proposer.prefill(room, undefined) : proposer.prepare(3, 1, undefined);
          });
          await Promise.all(work);
          // Prefilled tokens, and for each sequence the tokens since and its draft.
          const nRows = model.rowCounts.reduce((sum, n) => sum + n, 0) - nBefore;
          expect(nRows).toBeLessThanOrEqual(100 - room.tokens + chosen.length * (64 + 2));
          expect(room.tokens).toBeGreaterThanOrEqual(0);
          for (const i of chosen) {
            const chain = chainOf(proposers[i] as DraftProposer, 3);
            expect(chain).toEqual((await continued(texts[i] as number[], [], 3)).slice(0, chain.length));
          }
        }
        await Promise.all(proposers.map((proposer) => proposer.dispose()));
        await expectAllPagesFree(draft, nPages);
      }),
      { numRuns: 150 },
    );
  });

  it("completes drafts for rejection beside others that draft or are cancelled", async () => {
    const nPages = 5;
    const text = fc.record({
      length: fc.integer({ min: 1, max: nPages * PAGE_SIZE - 3 }),
      proposeFor: fc.constantFrom("rejection" as const, "rejection" as const, "exact" as const),
      /** Chunks that it prefills before each draft. */
      nPieces: fc.nat(2),
    });
    const draftOfOne = fc.record({
      text: fc.nat(5),
      /** Forwards until it is cancelled; 0: at once. */
      patience: fc.option(fc.nat(6), { nil: undefined }),
      isDisposed: fc.boolean(),
    });
    const turns = fc.array(fc.uniqueArray(draftOfOne, { selector: (one) => one.text, maxLength: 6 }), {
      minLength: 1,
      maxLength: 8,
    });
    await fc.assert(
      fc.asyncProperty(fc.array(text, { minLength: 6, maxLength: 6 }), turns, async (texts, turns) => {
        const { draft, model } = draftOf({ nPages });
        const tokens = texts.map(({ length }, i) => Array.from({ length }, (_, j) => (i + j) % 11));
        const open = (i: number) => {
          const proposer = proposerOf(draft, [], texts[i]?.proposeFor);
          proposer.observe(tokens[i] as number[]);
          return proposer;
        };
        const proposers = texts.map((_, i) => open(i));
        for (const turn of turns) {
          const nBefore = model.rowCounts.length;
          const aborts = turn.map(({ patience }) => ({ patience, abort: new AbortController() }));
          const look = () => {
            for (const { patience, abort } of aborts) {
              if (patience !== undefined && model.rowCounts.length - nBefore >= patience) abort.abort();
            }
          };
          model.onForward = look;
          const reading = turn.map(async ({ text: i }, j) => {
            for (let n = texts[i]?.nPieces ?? 0; n > 0; n--) {
              await proposers[i]?.prefill({ tokens: 20 }, aborts[j]?.abort.signal);
            }
          });
          await Promise.all(reading);
          const preparing = turn.map(({ text: i }, j) => proposers[i]?.prepare(3, 1, aborts[j]?.abort.signal));
          look();
          // A sequence that is disposed of while it drafts or waits frees its pages.
          const ending = turn.map(async ({ text: i, isDisposed }) => {
            if (isDisposed) await proposers[i]?.dispose();
          });
          await Promise.all([...preparing, ...ending]);
          for (const [j, { text: i, isDisposed }] of turn.entries()) {
            const chain = chainOf(proposers[i] as DraftProposer, 3);
            const alone = await continued(tokens[i] as number[], [], 3);
            const isWhole = texts[i]?.proposeFor === "rejection" && !aborts[j]?.abort.signal.aborted;
            expect(chain).toEqual(isWhole ? alone : alone.slice(0, chain.length));
            if (isDisposed) proposers[i] = open(i);
          }
        }
        await Promise.all(proposers.map((proposer) => proposer.dispose()));
        await expectAllPagesFree(draft, nPages);
      }),
      { numRuns: 150 },
    );
  });

  it("drafts nothing while it needs prefill, and prefills within the budget", async () => {
    const { draft, model } = draftOf();
    const [one, other] = [proposerOf(draft), proposerOf(draft)];
    const [long, longer] = [150, 500].map((length) => Array.from({ length }, (_, i) => i % 7)) as [number[], number[]];
    one.observe(long);
    other.observe(longer);
    expect([one.needsPrefill, other.needsPrefill]).toEqual([true, true]);
    await one.prepare(3, 1, undefined);
    expect(chainOf(one, 3)).toEqual([]);
    const room = { tokens: 200 };
    await Promise.all([one.prefill(room, undefined), other.prefill(room, undefined)]);
    expect(room.tokens).toBe(0);
    expect([one.needsPrefill, other.needsPrefill]).toEqual([false, true]);
    // All but the last token, and what is left of the budget.
    expect(model.rowCounts).toEqual([149 + 51]);
    await one.prepare(3, 1, undefined);
    expect(chainOf(one, 3)).toEqual(await continued(long, [], 3));
    await other.prefill(room, undefined);
    expect(model.rowCounts).toEqual([200, 1, 1, 1]);
  });

  it("does not prefill evicted pages again, and drafts all the same if the output depends on it", async () => {
    const { draft, model } = draftOf({ nPages: 10 });
    const [one, other] = [proposerOf(draft, [], "rejection"), proposerOf(draft, [], "rejection")];
    const text = Array.from({ length: 150 }, (_, i) => i % 7);
    for (const proposer of [one, other]) proposer.observe(text);
    await one.prefill({ tokens: 70 }, undefined);
    // Evicts the pages of the first one, which is idle.
    await other.prefill({ tokens: 120 }, undefined);
    expect([one.needsPrefill, other.needsPrefill]).toEqual([false, false]);
    await other.prepare(3, 1, undefined);
    await one.prepare(3, 1, undefined);
    for (const proposer of [one, other]) expect(chainOf(proposer, 3)).toEqual(await continued(text, [], 3));
    expect(model.rowCounts).toEqual([70, 120, 30, 1, 1, 150, 1, 1]);
    one.observe([1]);
    await other.prepare(3, 1, undefined);
    // A lost draft is prefilled again.
    expect(one.needsPrefill).toBe(true);
  });

  it("admits drafts that wait after a cancelled one", async () => {
    const { draft, model } = draftOf({ nPages: 3 });
    const proposers = [16, 40, 3].map((length) => {
      const proposer = proposerOf(draft, [], "rejection");
      proposer.observe(Array.from({ length }, (_, i) => i % 5));
      return proposer;
    });
    const [first, second, third] = proposers as [DraftProposer, DraftProposer, DraftProposer];
    const abort = new AbortController();
    model.onForward = () => abort.abort();
    // The first has two pages. The second waits for three, and the third, which needs the one left, waits after it.
    await Promise.all([
      first.prepare(3, 1, undefined),
      second.prepare(3, 1, abort.signal),
      third.prepare(3, 1, undefined),
    ]);
    expect(model.rowCounts).toEqual([16, 1 + 3, 1 + 1, 1]);
    expect(proposers.map((proposer) => chainOf(proposer, 3).length)).toEqual([3, 0, 3]);
  });

  it("keeps its pages until its running step is done", async () => {
    const { draft, model } = draftOf({ nPages: 1 });
    const [one, other] = [proposerOf(draft), proposerOf(draft)];
    one.observe([1, 2, 3]);
    other.observe([4, 5, 6]);
    const running = one.prepare(3, 1, undefined);
    await new Promise<void>((resolve) => {
      model.onForward = resolve;
    });
    const disposed = one.dispose();
    await other.prepare(3, 1, undefined);
    await Promise.all([running, disposed]);
    await other.prepare(3, 1, undefined);
    expect(chainOf(other, 3)).toEqual(await continued([4, 5, 6], [], 3));
  });

  it("passes on errors of a forward, and continues", async () => {
    const { draft, model } = draftOf();
    const proposer = proposerOf(draft);
    proposer.observe([1, 2, 3]);
    let isBroken = true;
    model.onForward = () => {
      if (isBroken) throw new Error("broken");
    };
    await expect(proposer.prepare(3, 1, undefined)).rejects.toThrow("broken");
    isBroken = false;
    await proposer.prepare(3, 1, undefined);
    expect(chainOf(proposer, 3)).toEqual(await continued([1, 2, 3], [], 3));
    await proposer.dispose();
    await draft.dispose();
    expect(model.isDisposed).toBe(true);
  });
});
