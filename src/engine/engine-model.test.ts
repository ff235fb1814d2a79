import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { engineOver, fakeEngine } from "../../test/support/fake-engine.ts";
import { FakeModel } from "../../test/support/fake-model.ts";
import { fakeTokenizer } from "../../test/support/fake-tokenizer.ts";
import { TableModel } from "../../test/support/table-model.ts";
import { drawFailure } from "../compute/sampling/draw-failure.ts";
import { DraftModel } from "../decoding/proposers/draft-model.ts";
import { Scheduler } from "./scheduling/scheduler.ts";
import type { GenerateRequest, Generation, GenerationResult, Model, ModelObserver, TextTokenizer } from "./types.ts";

async function read(generation: Generation) {
  const texts: string[] = [];
  const tokens: number[] = [];
  for await (const part of generation) {
    texts.push(part.text);
    tokens.push(...part.tokens);
  }
  return { texts, tokens, result: await generation.result };
}

const write = async (model: Model, request: GenerateRequest) => (await read(model.generate(request))).result;

const requests = fc.record({
  ids: fc.array(fc.nat(10), { minLength: 1, maxLength: 30 }),
  maxTokens: fc.constantFrom(undefined, 1, 7, 40),
  temperature: fc.constantFrom(0, 0.8, 2),
  seed: fc.nat(),
  repetitionPenalty: fc.constantFrom(1, 1.2),
  presencePenalty: fc.constantFrom(0, 0.5),
  stop: fc.constantFrom([], ["aba"], ["b ", "é"], ["bbb", "aab", "ab\n"], ["<end>a"]),
  logprobs: fc.constantFrom(undefined, 0, 2),
});
const ways = fc.record({
  propose: fc.constantFrom("mask" as const, "lookup" as const, "medusa" as const, "auto" as const),
  stride: fc.integer({ min: 1, max: 8 }),
  shape: fc.constantFrom("chain" as const, "quadratic" as const, "tree" as const, "auto" as const),
});

describe("promptLogprobs", () => {
  it("are those of score, and of the prompt that all choices share", async () => {
    const { engine, model } = fakeEngine({ maxSequences: 64, context: 400 });
    const ids = Array.from({ length: 353 }, (_, i) => (i * 5) % 11);
    const expected = (await engine.score({ ids, logprobs: 1 })).tokens;
    const request = { ids, maxTokens: 40, temperature: 1, promptLogprobs: 1, propose: "none" as const };
    model.rowCounts.length = 0;
    const one = engine.generate({ ...request, n: 2, maxTokens: 1 });
    expect(await one.promptLogprobs).toEqual(expected);
    await one.result;
    // The second choice shares its pages.
    expect(model.rowCounts.reduce((sum, rows) => sum + rows, 0)).toBeLessThan(ids.length + 16);
    // The prompt is cached, so the other choices start before it is scored: a reader who waits for that does not lag.
    const many = engine.generate({ ...request, n: 64, maxTokens: 4 });
    for await (const _ of many) await many.promptLogprobs;
    expect(await many.promptLogprobs).toEqual(expected);
    expect((await many.result).choices?.length).toBe(64);
    await engine.dispose();
  });

  it("are empty if it was cancelled before, reject as the result does, and need no prediction for one token", async () => {
    const { engine } = fakeEngine();
    const signal = AbortSignal.abort();
    expect(await engine.generate({ ids: [1, 2], promptLogprobs: 0, signal }).promptLogprobs).toEqual([]);
    const single = engine.generate({ ids: [3], promptLogprobs: 0, maxTokens: 1 });
    expect(await single.promptLogprobs).toEqual([{ token: 3, logprob: undefined, top: [] }]);
    expect(await engine.generate({ ids: [1, 2], maxTokens: 1 }).promptLogprobs).toEqual([]);
    await engine.dispose();
    const { engine: failing, model } = fakeEngine();
    const forward = model.forward.bind(model);
    model.forward = async (...given) => {
      const result = await forward(...given);
      return { ...result, drawn: result.drawn.map(() => ({ token: -1, failure: drawFailure("not-finite", 2) })) };
    };
    await expect(failing.generate({ ids: [1, 2], promptLogprobs: 0 }).promptLogprobs).rejects.toThrow("are not finite");
    await failing.dispose();
  });
});

describe("generate", () => {
  it("generates the text of plain decoding with any proposer and shape, and streams all of it", async () => {
    await fc.assert(
      fc.asyncProperty(requests, ways, fc.nat(50), fc.constantFrom([], [5]), async (request, way, seed, endTokens) => {
        const { engine } = fakeEngine({ seed, endTokens, context: 70, hitRate: 0.7 });
        const plain = await read(engine.generate({ ...request, propose: "none" }));
        const fast = await read(engine.generate({ ...request, ...way }));
        for (const key of ["text", "tokens", "sha256", "finishReason", "logprobs", "promptTokens"] as const) {
          expect(fast.result[key]).toEqual(plain.result[key]);
        }
        expect(fast.result.forwards).toBeLessThanOrEqual(plain.result.forwards);
        expect(plain.result.tokensPerForward).toBe(1);
        const { text, tokens, sha256, finishReason } = fast.result;
        // The parts make up the text, and none contains the start of a stop string that was completed later.
        expect(fast.texts.join("")).toBe(text);
        expect(fast.tokens).toEqual(tokens);
        expect(sha256).toBe(createHash("sha256").update(text).digest("hex"));
        const whole = fakeTokenizer.decode(tokens);
        expect(whole.startsWith(text)).toBe(true);
        const stops = request.stop.map((stop) => whole.indexOf(stop)).filter((at) => at >= 0);
        if (stops.length > 0) {
          expect(text).toBe(whole.slice(0, Math.min(...stops)));
          expect(finishReason).toBe("stop");
        } else expect(text).toBe(whole);
        if (finishReason === "length")
          expect(tokens.length).toBe(Math.min(request.maxTokens ?? 70, 70 - request.ids.length));
        await engine.dispose();
      }),
      { numRuns: 600 },
    );
  });

  it("draws no end token if it is to ignore them, and ends at stop tokens, whatever it proposes", async () => {
    for (const propose of ["none", "mask"] as const) {
      const { engine } = fakeEngine({ hitRate: 0.7, endTokens: [3, 5], context: 150 });
      const way = { propose, stride: propose === "none" ? undefined : 4 };
      const of = async (request: GenerateRequest) => await engine.generate({ prompt: "ab", ...way, ...request }).result;
      const asked = { temperature: 1, maxTokens: 100 };
      expect(await of(asked)).toMatchObject({ finishReason: "stop" });
      const all = await of({ ...asked, ignoreEos: true });
      expect([all.finishReason, all.tokens.length]).toEqual(["length", 100]);
      expect(all.tokens.filter((token) => token === 3 || token === 5)).toEqual([]);
      const [, , , , , last = -1] = all.tokens;
      const stopped = await of({ ...asked, ignoreEos: true, stopTokens: [last] });
      const expected = all.tokens.slice(0, all.tokens.indexOf(last));
      expect(stopped).toMatchObject({ finishReason: "stop", endToken: last, tokens: expected });
      await engine.dispose();
    }
  });

  it("ends at an accepted end token, which is not part of the output", async () => {
    const { engine: free } = fakeEngine({ hitRate: 1 });
    const request = { ids: [1, 2], maxTokens: 60, stride: 8 } as const;
    const unbounded = await write(free, request);
    const end = unbounded.tokens[20] as number;
    const at = unbounded.tokens.indexOf(end);
    const { engine } = fakeEngine({ hitRate: 1, endTokens: [end] });
    const result = await write(engine, request);
    expect(result.finishReason).toBe("stop");
    expect(result.tokens).toEqual(unbounded.tokens.slice(0, at));
    expect(result.forwards).toBe(1 + Math.ceil(at / 8));
  });

  it("generates up to the last position of the context", async () => {
    const { engine } = fakeEngine({ context: 33, hitRate: 0.8 });
    const { tokens, finishReason } = await write(engine, { ids: [1, 2, 3], stride: 8, shape: "quadratic" });
    expect(tokens.length).toBe(30);
    expect(finishReason).toBe("length");
    expect((await write(engine, { ids: [1, 2, 3], context: 10 })).tokens).toEqual(tokens.slice(0, 7));
  });

  it("proposes by lookup without an adapter", async () => {
    const { engine } = fakeEngine({ nDepths: 0, nExtraHeads: 0 });
    const result = await write(engine, { ids: [1, 2, 3], maxTokens: 5 });
    expect(result.propose).toBe("lookup");
    expect(() => engine.generate({ ids: [1], propose: "mask" })).toThrow(/needs an adapter/);
  });

  it("runs generations together, whether they are iterated or not", async () => {
    const { engine, model } = fakeEngine();
    const requests = Array.from({ length: 5 }, (_, i) => ({ ids: [i, 1, 2], maxTokens: 20, stride: 1 }));
    const together = await Promise.all(requests.map((request) => engine.generate(request).result));
    expect(model.rowCounts).toEqual([15, ...Array.from({ length: 19 }, () => 5)]);
    for (const [i, request] of requests.entries()) {
      expect(together[i]?.text).toBe((await write(engine, request)).text);
    }
  });

  it("frees pages, after errors and cancellations, too", async () => {
    const { engine, model } = fakeEngine({ context: 40 });
    const stop = new AbortController();
    model.onForward = () => {
      if (model.rowCounts.length === 3) stop.abort();
      if (model.rowCounts.length === 10) throw new Error("broken");
    };
    const cancelled = await write(engine, { ids: [1], stride: 1, signal: stop.signal });
    expect(cancelled.finishReason).toBe("cancelled");
    // Not only after the third forward.
    expect(cancelled.tokens.length).toBe(2);
    await expect(write(engine, { ids: [1], stride: 1 })).rejects.toThrow("broken");
    model.onForward = undefined;
    // The pool has one context: leaked pages would be missed.
    for (let i = 0; i < 3; i++) expect((await write(engine, { ids: [1], propose: "none" })).tokens.length).toBe(39);
    expect(model.caches.length).toBe(1);
  });

  it("generates several completions, each with its own noise, and computes the prompt once", async () => {
    const { engine, model } = fakeEngine();
    const ids = Array.from({ length: 40 }, (_, i) => (i * 7) % 11);
    const request = { ids, maxTokens: 12, temperature: 1, seed: 4, stride: 1, n: 3, logprobs: 1 } as const;
    const generation = engine.generate(request);
    const texts = ["", "", ""];
    for await (const { choice, text } of generation) texts[choice as number] += text;
    const { choices = [], ...first } = await generation.result;
    expect(choices.map(({ index }) => index)).toEqual([0, 1, 2]);
    expect(choices.map(({ text }) => text)).toEqual(texts);
    const { index, ...firstChoice } = choices[0] ?? {};
    expect(first).toMatchObject(firstChoice);
    expect(model.rowCounts.slice(0, 2)).toEqual([40, 1 + 2 * 8]);
    const { n, ...alone } = request;
    expect(await write(fakeEngine().engine, alone)).toMatchObject({ tokens: choices[0]?.tokens, text: texts[0] });
    expect(choices[0]?.logprobs?.length).toBe(choices[0]?.tokens.length);
    expect(model.samplers.map(({ settings }) => settings.choice)).toEqual([0, 1, 2]);
  });

  it("frees the pages of a grammar that cannot be followed", async () => {
    const { engine } = fakeEngine();
    const ids = Array.from({ length: 60 }, (_, i) => i % 11);
    await engine.generate({ ids, maxTokens: 1 }).result;
    const { total } = engine.stats().cachePages;
    // At the first round, with a prompt that is cached; and at a later one.
    const failing = [
      { ids, grammar: { kind: "regex", pattern: "(?:.*[ a-z].{2000})" } },
      { ids: [...ids, 3], grammar: { kind: "regex", pattern: "a(?:(?:.{1,50}){1,50})" } },
    ] as const;
    for (const request of failing) {
      await expect(engine.generate(request).result).rejects.toThrow("too many ways");
      await new Promise((resolve) => setImmediate(resolve));
      expect(engine.stats().cachePages).toMatchObject({ total, used: 0 });
    }
    await engine.dispose();
  });

  it("refuses requests when the queue is full", async () => {
    const { engine } = fakeEngine({ maxSequences: 2, maxQueue: 1 });
    const running = [1, 2, 3].map((token) => engine.generate({ ids: [token], maxTokens: 5 }).result);
    expect(() => engine.generate({ ids: [4] })).toThrow(expect.objectContaining({ code: "queue-full" }));
    await Promise.all(running);
    expect(() => engine.generate({ ids: [4], n: 4 })).toThrow("1 requests are waiting");
    expect((await write(engine, { ids: [4], n: 3, maxTokens: 2 })).choices?.length).toBe(3);
  });

  it("counts a request whose template is being rendered as queued, and fails it with the template's error", async () => {
    const { engine } = fakeEngine({ maxSequences: 1, maxQueue: 0, context: 32 });
    const messages = [{ role: "user", content: "aba" }] as const;
    const session = engine.session();
    const waiting = session.generate({ messages, maxTokens: 5 });
    expect(() => engine.generate({ ids: [4] })).toThrow(expect.objectContaining({ code: "queue-full" }));
    expect((await waiting.result).promptTokens).toBe(4);
    expect(session.cachedTokens).toBe(8);
    const tooLong = engine.generate({ messages: [{ role: "user", content: "a".repeat(40) }] });
    await expect(tooLong.result).rejects.toMatchObject({ code: "context-too-long" });
    await expect(tooLong[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: "context-too-long" });
    const ended = new AbortController();
    const cancelled = engine.generate({ messages, signal: ended.signal });
    ended.abort();
    // Its template is still being rendered, and counts as queued.
    expect(() => engine.generate({ ids: [4] })).toThrow(expect.objectContaining({ code: "queue-full" }));
    expect((await cancelled.result).finishReason).toBe("cancelled");
    const late = engine.generate({ messages });
    await engine.dispose();
    expect((await late.result).finishReason).toBe("cancelled");
  });

  it("renders tools and template arguments, and tells the prompt's tokens", async () => {
    const asked: unknown[] = [];
    const encodeChat: TextTokenizer["encodeChat"] = async (messages, options) => {
      asked.push(options);
      return fakeTokenizer.encodeChat(messages);
    };
    const engine = engineOver(new FakeModel(), { tokenizer: { ...fakeTokenizer, encodeChat } });
    const chat = { tools: [{ name: "f", parameters: {} }], templateArguments: { a: 1 }, continueFinalMessage: true };
    const request = { messages: [{ role: "user", content: "ab a" }], maxTokens: 4, ...chat } as const;
    const generation = engine.generate(request);
    const ids = await generation.promptIds;
    expect(ids).toEqual(await fakeTokenizer.encodeChat(request.messages));
    expect(await engine.promptIds(request)).toEqual(ids);
    const parts = [];
    for await (const part of generation) parts.push(part);
    expect(parts.map(({ cachedTokens }) => cachedTokens)).toEqual([0, ...Array(parts.length - 1).fill(undefined)]);
    expect(asked).toEqual([chat, chat]);
    const failing = engine.generate({ messages: [{ role: "user", content: "a".repeat(200) }] });
    await expect(failing.promptIds).rejects.toThrow("do not fit");
    await expect(failing.result).rejects.toThrow("do not fit");
    await engine.dispose();
  });

  it("cancels a request at once while its template is rendered", async () => {
    const model = new FakeModel();
    let render = (_: number[]): void => {};
    const rendering = new Promise<number[]>((resolve) => {
      render = resolve;
    });
    const engine = engineOver(model, { tokenizer: { ...fakeTokenizer, encodeChat: () => rendering } });
    const ended = new AbortController();
    const messages = [{ role: "user", content: "aba" }] as const;
    const generation = engine.generate({ messages, n: 2, signal: ended.signal });
    ended.abort();
    expect((await generation.result).choices?.map(({ finishReason }) => finishReason)).toEqual([
      "cancelled",
      "cancelled",
    ]);
    render([1, 2]);
    await engine.dispose();
    expect(model.rowCounts).toEqual([]);
  });

  it("streams the tokens before a draw that fails, as plain decoding does", async () => {
    const stream = async (way: GenerateRequest) => {
      const { engine, model } = fakeEngine({ hitRate: 1 });
      const forward = model.forward.bind(model);
      model.forward = async (forest, cache, sampling) => {
        const result = await forward(forest, cache, sampling);
        const drawn = result.drawn.map((one, i) =>
          sampling?.draws[i]?.position === 9 ? { token: -1, failure: new Error("not finite") } : one,
        );
        return Object.assign(Object.create(result), { drawn });
      };
      const tokens: number[] = [];
      const reading = (async () => {
        for await (const part of engine.generate(way)) tokens.push(...part.tokens);
      })();
      await expect(reading).rejects.toThrow("not finite");
      return tokens;
    };
    const request = { ids: [1, 2, 3], maxTokens: 20 };
    const plain = await stream({ ...request, propose: "none" });
    expect(plain.length).toBe(6);
    for (const shape of ["chain", "quadratic", "tree"] as const) {
      expect(await stream({ ...request, propose: "mask", stride: 4, shape })).toEqual(plain);
    }
  });

  it("emits the drawn tokens before the next draft is made", async () => {
    const target = new FakeModel({ seed: 1, nDepths: 0 });
    const drafting = new FakeModel({ seed: 2, nDepths: 0 });
    const engine = engineOver(target, { draft: new DraftModel(drafting, 200, 400) });
    const stop = new AbortController();
    drafting.onForward = () => {
      if (target.rowCounts.length === 3) stop.abort();
    };
    const request = { ids: [1, 2, 3], maxTokens: 60, propose: "draft", stride: 4, signal: stop.signal } as const;
    const { tokens, texts, result } = await read(engine.generate(request));
    expect(result.finishReason).toBe("cancelled");
    expect(tokens).toEqual(result.tokens);
    expect(texts.join("")).toBe(result.text);
  });

  it("generates the same tokens for any maxTokens, with rejection verification", async () => {
    const write = async (request: GenerateRequest) => {
      const engine = engineOver(new TableModel({ vocabSize: 6, seed: 3 }), { context: 100 });
      return (await engine.generate(request).result).tokens;
    };
    for (const shape of ["chain", "quadratic", "tree"] as const) {
      for (let seed = 0; seed < 20; seed++) {
        const way = { shape, stride: 4, propose: "mask", verify: "rejection" } as const;
        const request = { ids: [1, 2], temperature: 1, seed, ...way };
        const longer = await write({ ...request, maxTokens: 30 });
        expect(await write({ ...request, maxTokens: 12 })).toEqual(longer.slice(0, 12));
      }
    }
  });

  it("causes no warning of leaked listeners with many completions", async () => {
    const warnings: Error[] = [];
    const listen = (warning: Error) => warnings.push(warning);
    process.on("warning", listen);
    const { engine } = fakeEngine();
    await write(engine, { ids: [1, 2], n: 20, maxTokens: 2 });
    await new Promise((resolve) => setImmediate(resolve));
    process.off("warning", listen);
    expect(warnings).toEqual([]);
    await engine.dispose();
  });

  it("fails all sequences if scheduling fails, and continues with new ones", async () => {
    const { engine } = fakeEngine({ maxSequences: 2 });
    vi.spyOn(Scheduler.prototype, "schedule").mockImplementationOnce(() => {
      throw new Error("broken");
    });
    const texts = [1, 2, 3].map((id) => engine.generate({ ids: [id], maxTokens: 3 }).result);
    for (const text of texts) await expect(text).rejects.toThrow("broken");
    expect((await write(engine, { ids: [1], maxTokens: 3 })).tokens.length).toBe(3);
    await engine.dispose();
  });

  it("cancels when the reader leaves", async () => {
    const { engine } = fakeEngine();
    const generation = engine.generate({ ids: [1, 2], stride: 1 });
    for await (const _ of generation) break;
    expect((await generation.result).finishReason).toBe("cancelled");
  });

  it("cancels generations when the model is disposed of", async () => {
    const { engine, model } = fakeEngine();
    const generation = engine.generate({ ids: [1, 2] });
    await engine.dispose();
    expect((await generation.result).finishReason).toBe("cancelled");
    expect(model.isDisposed).toBe(true);
    expect(() => engine.generate({ ids: [1] })).toThrow(/disposed/);
  });
});

describe("stats and observer", () => {
  it("tell what runs, and what each sequence did", async () => {
    const ended: (GenerationResult | Error)[] = [];
    const rounds: { readonly tokens: number; readonly ms: number | undefined }[] = [];
    let rows = 0;
    const observer: ModelObserver = {
      onForward: (forward) => {
        rows += forward.rows;
      },
      onTokens: (round) => rounds.push(round),
      onEnd: (result, queueMs) => {
        expect(queueMs).toBeGreaterThanOrEqual(0);
        ended.push(result);
      },
    };
    const { engine } = fakeEngine({ maxSequences: 1, hitRate: 0.5, observer });
    const idle = engine.stats();
    expect(idle).toMatchObject({ sequences: [], maxSequences: 1, cachePages: { used: 0 } });
    const first = engine.generate({ ids: [1, 2, 3], maxTokens: 30 });
    const second = engine.generate({ ids: [4], maxTokens: 5 });
    const iterator = first[Symbol.asyncIterator]();
    await iterator.next();
    const { sequences, cachePages } = engine.stats();
    expect(sequences).toEqual([
      { isRunning: true, promptTokens: 3, generatedTokens: expect.any(Number) },
      { isRunning: false, promptTokens: 1, generatedTokens: 0 },
    ]);
    expect(sequences[0]?.generatedTokens).toBeGreaterThan(0);
    expect(cachePages.used).toBeGreaterThan(0);
    await iterator.return?.();
    await second.result;
    const stopped = engine.generate({ ids: [1], maxTokens: 5, signal: AbortSignal.abort() });
    await stopped.result;
    expect(ended).toEqual([await first.result, await second.result, await stopped.result]);
    expect(ended.map((one) => (one as GenerationResult).finishReason)).toEqual(["cancelled", "length", "cancelled"]);
    expect(rounds.reduce((sum, { tokens }) => sum + tokens, 0)).toBe(
      ended.reduce((sum, one) => sum + (one as GenerationResult).tokens.length, 0),
    );
    // The first tokens of two sequences.
    expect(rounds.filter(({ ms }) => ms === undefined)).toHaveLength(2);
    expect(rows).toBeGreaterThan(rounds.length);
    // Its pages are freed after the forward that wrote to them.
    await vi.waitFor(() => expect(engine.stats().cachePages.used).toBe(0));
    await engine.dispose();
  });
});

describe("session", () => {
  it("computes only new tokens, and generates the same text", async () => {
    const { engine, model } = fakeEngine();
    const session = engine.session();
    expect(session.cachedTokens).toBe(0);
    const first = await session.generate({ ids: [1, 2, 3, 4], maxTokens: 20 }).result;
    expect(first.cachedTokens).toBe(0);
    // The last token of the first completion was never computed.
    expect(session.cachedTokens).toBe(23);
    const next = [1, 2, 3, 4, ...first.tokens, 7, 8];
    const before = model.rowCounts.length;
    const second = await session.generate({ ids: next, maxTokens: 10, propose: "none" }).result;
    expect(second.cachedTokens).toBe(next.length - 3);
    expect(model.rowCounts[before]).toBe(3);
    expect(second.text).toBe((await write(fakeEngine().engine, { ids: next, maxTokens: 10 })).text);
    // A page that is full now is reused as a whole only; then the same prompt again.
    const third = await session.generate({ ids: [...next.slice(0, 18), 9], maxTokens: 4 }).result;
    expect(third.cachedTokens).toBe(16);
    const fourth = await engine.generate({ ids: [...next.slice(0, 18), 9], maxTokens: 4 }).result;
    expect(fourth.cachedTokens).toBe(18);
    expect(fourth.text).toBe(third.text);
    await session.dispose();
    expect(() => session.generate({ ids: [1] })).toThrow(/disposed/);
  });

  it("waits for its generations when it is disposed of", async () => {
    const { engine } = fakeEngine();
    const session = engine.session();
    let hasEnded = false;
    const writing = session.generate({ ids: [1], maxTokens: 30 }).result.then(() => {
      hasEnded = true;
    });
    await session.dispose();
    expect(hasEnded).toBe(true);
    await writing;
    expect(session.cachedTokens).toBe(0);
  });

  it("is evicted when pages run out, and computed again", async () => {
    const { engine } = fakeEngine({ context: 100, nPages: 11 });
    const sessions = [engine.session(), engine.session(), engine.session()];
    const texts = new Map<number, string>();
    for (let turn = 0; turn < 6; turn++) {
      for (const [i, session] of sessions.entries()) {
        const request = { ids: [i, ...Array.from({ length: 60 }, (_, j) => (j * 7 + i) % 11)], maxTokens: 30 };
        const { text } = await session.generate(request).result;
        expect(text).toBe(texts.get(i) ?? text);
        texts.set(i, text);
      }
    }
    expect(new Set(texts.values()).size).toBe(3);
  });
});
