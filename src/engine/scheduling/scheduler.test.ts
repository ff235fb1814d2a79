import { describe, expect, it } from "vitest";
import { IdlmError } from "../../errors.ts";
import { fakeEngine } from "../../../test/support/fake-engine.ts";
import type { FakeModel } from "../../../test/support/fake-model.ts";
import { PREFILL_CHUNK_WHILE_DECODING, MAX_FORWARD_ROWS } from "../limits.ts";
import { STEPS_PER_PRIORITY } from "./scheduler.ts";

const plain = { stride: 1, propose: "none" } as const;

describe("the scheduler", () => {
  it("orders requests by priority, then by tokens served to their share, then by arrival", async () => {
    const { engine } = fakeEngine({ maxSequences: 1 });
    const order: string[] = [];
    const start = (name: string, request: object) =>
      engine.generate({ ids: [1, 2], maxTokens: 5, ...plain, ...request }).result.then(() => order.push(name));
    await Promise.all([
      start("a1", { share: "a" }),
      start("a2", { share: "a" }),
      start("b1", { share: "b" }),
      start("low", { share: "c", priority: -1 }),
      start("high", { share: "a", priority: 1 }),
    ]);
    expect(order).toEqual(["high", "b1", "a1", "a2", "low"]);
  });

  it("charges the last round of a sequence, too", async () => {
    const { engine } = fakeEngine({ maxSequences: 1 });
    const order: string[] = [];
    const start = (name: string, share: string, maxTokens: number) =>
      engine.generate({ ids: [1], maxTokens, share, ...plain }).result.then(() => order.push(name));
    const ofA = [start("a1", "a", 1), start("a2", "a", 1), start("a3", "a", 1)];
    await Promise.all([...ofA, start("b1", "b", 2), start("b2", "b", 1)]);
    expect(order).toEqual(["a1", "b1", "a2", "b2", "a3"]);
  });

  it("lets a new share start at the floor of those that compete, not of a lower priority that waits", async () => {
    const { engine, model } = fakeEngine({ maxSequences: 1 });
    const order: string[] = [];
    const start = (name: string, request: object) =>
      engine.generate({ ids: [1], maxTokens: 30, ...plain, ...request }).result.then(() => order.push(name));
    const low = start("low", { share: "low", priority: -1 });
    const others: Promise<number>[] = [];
    model.onForward = () => {
      if (model.rowCounts.length !== 95) return;
      others.push(start("a2", { share: "a" }), start("new1", { share: "new" }), start("new2", { share: "new" }));
    };
    await start("a1", { share: "a", maxTokens: 100 });
    await Promise.all([low, ...others]);
    expect(order).toEqual(["a1", "new1", "a2", "new2", "low"]);
  });

  it("keeps the credit of a share that waits, though others end meanwhile", async () => {
    const { engine } = fakeEngine({ maxSequences: 1 });
    const order: string[] = [];
    const start = (share: string, maxTokens: number) =>
      engine.generate({ ids: [1], maxTokens, share, ...plain }).result.then(() => order.push(share));
    await Promise.all([start("a", 100), start("a", 9), start("b", 9), start("b", 9), start("b", 9)]);
    expect(order).toEqual(["a", "b", "b", "b", "a"]);
  });

  it("preempts for a higher priority, without a change of the preempted output", async () => {
    const { engine, model } = fakeEngine({ maxSequences: 1 });
    const request = { ids: [1, 2, 3], maxTokens: 30, ...plain };
    const alone = await fakeEngine().engine.generate(request).result;
    let urgent: Promise<unknown> = Promise.resolve();
    const order: string[] = [];
    model.onForward = () => {
      if (model.rowCounts.length !== 10) return;
      urgent = engine
        .generate({ ids: [4], maxTokens: 5, priority: 1, ...plain })
        .result.then(() => order.push("urgent"));
    };
    const result = await engine.generate(request).result;
    order.push("first");
    await urgent;
    expect(order).toEqual(["urgent", "first"]);
    expect(result.tokens).toEqual(alone.tokens);
    // Its prompt and output are still cached: only the last token is computed again.
    expect(model.rowCounts.filter((n) => n > 1).length).toBe(1);
  });

  it("starts no more sequences than its pages suffice for", async () => {
    const { engine, model } = fakeEngine({ context: 1000, nPages: 130 });
    const prompt = (length: number, step: number) => Array.from({ length }, (_, i) => ((i + step) * i * step) % 11);
    const started: number[] = [];
    model.onForward = () => started.push(model.samplers.length);
    const requests = Array.from({ length: 8 }, (_, i) => ({ ids: prompt(900, i + 1), maxTokens: 10, ...plain }));
    await Promise.all(requests.map((request) => engine.generate(request).result));
    // A prompt takes two forwards. In between, the pages that it still needs are not given to others.
    expect(started.slice(0, 3)).toEqual([2, 2, 2]);
    expect(model.rowCounts.reduce((sum, n) => sum + n)).toBe(8 * (900 + 9));
  });

  it("preempts nothing if that would not suffice", async () => {
    const { engine, model } = fakeEngine({ context: 560, nPages: 40 });
    const prompt = (length: number, step: number) => Array.from({ length }, (_, i) => (i * i * step) % 11);
    const equal = { ids: prompt(300, 1), maxTokens: 120, priority: 1, ...plain };
    const lower = { ids: prompt(20, 2), maxTokens: 100, ...plain };
    let higher: Promise<unknown> = Promise.resolve();
    const order: string[] = [];
    model.onForward = () => {
      if (model.rowCounts.length !== 20) return;
      // Even without the lower one, the equal one uses too many pages.
      const request = { ids: prompt(400, 3), maxTokens: 1, priority: 1, ...plain };
      higher = engine.generate(request).result.then(() => order.push("higher"));
    };
    const start = (name: string, request: object) => engine.generate(request).result.then(() => order.push(name));
    await Promise.all([start("equal", equal), start("lower", lower)]);
    await higher;
    expect(order).toEqual(["lower", "equal", "higher"]);
    // Each prompt is computed once.
    expect(model.rowCounts.reduce((sum, n) => sum + n)).toBe(300 + 119 + 20 + 99 + 400);
  });

  it("counts pages that only preempted sequences share", async () => {
    const { engine, model } = fakeEngine({ context: 200, nPages: 20 });
    const ids = Array.from({ length: 100 }, (_, i) => (i * i) % 11);
    const low = [8, 9].map((last) => engine.generate({ ids: [...ids, last], maxTokens: 60, ...plain }).result);
    const order: string[] = [];
    let high: Promise<unknown> = Promise.resolve();
    model.onForward = () => {
      if (model.rowCounts.length !== 20) return;
      const request = { ids: [...ids].reverse().concat(ids.slice(0, 90)), maxTokens: 5, priority: 1, ...plain };
      high = engine.generate(request).result.then(() => order.push("high"));
    };
    await Promise.all(low.map((result) => result.then(() => order.push("low"))));
    await high;
    expect(order).toEqual(["high", "low", "low"]);
  });

  it("starves no request beside an endless stream of higher priorities", async () => {
    const { engine, model } = fakeEngine({ maxSequences: 2 });
    let isDone = false;
    let endedAt = 0;
    const stream = async (token: number) => {
      while (!isDone) await engine.generate({ ids: [token], maxTokens: 4, priority: 2, ...plain }).result;
    };
    const streams = [1, 2, 3, 4].map(stream);
    const low = engine.generate({ ids: [5], maxTokens: 20, ...plain }).result.then(() => {
      isDone = true;
      endedAt = model.rowCounts.length;
    });
    await Promise.all([low, ...streams]);
    expect(endedAt).toBeGreaterThan(STEPS_PER_PRIORITY);
    expect(endedAt).toBeLessThan(3 * STEPS_PER_PRIORITY + 100);
  });

  it("starves no running prompt beside an endless stream of prompts of higher priorities", async () => {
    const { engine, model } = fakeEngine({ context: 700 });
    let isDone = false;
    let nPrompts = 0;
    // They differ from the first token on, and each fills a forward.
    const prompt = () => {
      const n = nPrompts++;
      return Array.from({ length: MAX_FORWARD_ROWS }, (_, i) => (i < 4 ? Math.floor(n / 11 ** i) % 11 : (i * i) % 11));
    };
    const stream = async () => {
      while (!isDone && nPrompts < 3 * STEPS_PER_PRIORITY) {
        await engine.generate({ ids: prompt(), maxTokens: 1, priority: 1, ...plain }).result;
      }
    };
    const low = engine.generate({ ids: prompt(), maxTokens: 1, ...plain }).result.then(() => {
      isDone = true;
    });
    await Promise.all([low, stream(), stream(), stream()]);
    expect(model.rowCounts.length).toBeGreaterThan(STEPS_PER_PRIORITY);
    expect(model.rowCounts.length).toBeLessThan(STEPS_PER_PRIORITY + 10);
  });

  it("prefills in large chunks alone, and in small ones while others decode", async () => {
    const { engine, model } = fakeEngine({ context: 2000 });
    const ids = Array.from({ length: 1100 }, (_, i) => (i * i) % 11);
    await engine.generate({ ids, maxTokens: 1, ...plain }).result;
    expect(model.rowCounts).toEqual([MAX_FORWARD_ROWS, MAX_FORWARD_ROWS, 1100 - 2 * MAX_FORWARD_ROWS]);
    const before = model.rowCounts.length;
    const generation = engine.generate({ ids: [3], maxTokens: 40, ...plain });
    for await (const _ of generation) {
      if (model.rowCounts.length > before + 2) break;
      void engine.generate({ ids: [...ids].reverse(), maxTokens: 1, ...plain });
    }
    expect(Math.max(...model.rowCounts.slice(before))).toBeLessThanOrEqual(PREFILL_CHUNK_WHILE_DECODING + 2);
    await engine.dispose();
  });

  it("pauses a sequence whose reader stopped, and continues it later", async () => {
    const { engine, model } = fakeEngine({ context: 300 });
    const request = { ids: [1, 2, 3], maxTokens: 200, ...plain };
    const generation = engine.generate(request);
    const reader = generation[Symbol.asyncIterator]();
    const tokens: number[] = [];
    const next = async () => tokens.push(...((await reader.next()).value?.tokens ?? []));
    await next();
    // Other requests continue meanwhile.
    await engine.generate({ ids: [7], maxTokens: 250, ...plain }).result;
    const nForwards = model.rowCounts.length;
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(model.rowCounts.length).toBe(nForwards);
    while (tokens.length < 200) await next();
    expect(tokens).toEqual((await generation.result).tokens);
    expect(tokens).toEqual((await fakeEngine({ context: 300 }).engine.generate(request).result).tokens);
  });

  it.each([0, 1])(
    "accepts requests beside a bounded number of stalled readers, with a queue of %i",
    async (maxQueue) => {
      const { engine, model } = fakeEngine({ context: 300, maxSequences: 2, maxQueue });
      const request = (token: number) => ({ ids: [token], maxTokens: 200, ...plain });
      const stall = async (token: number) => {
        const reader = engine.generate(request(token))[Symbol.asyncIterator]();
        const tokens = [...((await reader.next()).value?.tokens ?? [])];
        await idle(model);
        return { reader, tokens };
      };
      const stalled: Awaited<ReturnType<typeof stall>>[] = [];
      // Running, preempted (as many again), and queued.
      const max = 2 * 2 + maxQueue;
      while (stalled.length < max) stalled.push(await stall(stalled.length));
      const refused = expect.objectContaining({ code: "queue-full" });
      expect(() => engine.generate(request(9))).toThrow(refused);
      expect(model.samplers.length).toBe(max);
      // One leaves: a new request is accepted and completes.
      await stalled.pop()?.reader.return?.(undefined);
      expect((await engine.generate(request(9)).result).tokens.length).toBe(200);
      // All continue where they stopped.
      for (const [token, { reader, tokens }] of stalled.entries()) {
        for (let part = await reader.next(); part.done !== true; part = await reader.next()) {
          tokens.push(...part.value.tokens);
        }
        expect(tokens).toEqual((await fakeEngine({ context: 300 }).engine.generate(request(token)).result).tokens);
      }
    },
  );

  it("fails only the sequence whose draw fails", async () => {
    const { engine, model } = fakeEngine();
    const forward = model.forward.bind(model);
    const broken = new IdlmError("usage", { problem: "no token is allowed", hint: "" });
    model.forward = async (forest, cache, sampling) => {
      const result = await forward(forest, cache, sampling);
      const drawn = result.drawn.map((one, i) =>
        sampling?.draws[i]?.sampler.settings.seed === 9 && model.rowCounts.length > 5
          ? { token: -1, failure: broken }
          : one,
      );
      return { ...result, drawn };
    };
    const requests = [1, 9, 2].map((seed) =>
      engine.generate({ ids: [1], seed, temperature: 1, maxTokens: 20, ...plain }),
    );
    const results = await Promise.allSettled(requests.map(({ result }) => result));
    expect(results.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
  });
});

/** Resolves when no further forward follows. */
async function idle(model: FakeModel): Promise<void> {
  let nForwards = -1;
  while (nForwards < model.rowCounts.length) {
    nForwards = model.rowCounts.length;
    for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve));
  }
}
