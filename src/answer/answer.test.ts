import { describe, expect, it } from "vitest";
import { fakeEngine } from "../../test/support/fake-engine.ts";
import { answer } from "./answer.ts";
import type { AnswerEvent, AnswerRequest } from "./types.ts";

const request = (requests: AnswerRequest["requests"], more: Partial<AnswerRequest> = {}): AnswerRequest => ({
  ...{ requests, format: undefined, rounds: false, ignored: [], names: {}, ...more },
});
const never = new AbortController().signal;

async function collect(events: AsyncIterable<readonly AnswerEvent[]>): Promise<AnswerEvent[]> {
  const all: AnswerEvent[] = [];
  for await (const some of events) all.push(...some);
  return all;
}

describe("answer", () => {
  it("streams several completions of several prompts, as they are unstreamed", async () => {
    const { engine } = fakeEngine();
    const asked = request([
      { prompt: "ab", n: 2, maxTokens: 6, temperature: 1, logprobs: 1 },
      { prompt: "b a", n: 3, maxTokens: 5, temperature: 1, logprobs: 1 },
    ]);
    const plain = await answer(engine, asked, never).done;
    const streamed = answer(engine, asked, never);
    const events = await collect(streamed.events);
    expect((await streamed.done).choices.map(({ text }) => text)).toEqual(plain.choices.map(({ text }) => text));
    expect(plain.choices.map(({ index, prompt }) => [index, prompt])).toEqual([
      ...[
        [0, 0],
        [1, 0],
        [2, 1],
      ],
      ...[
        [3, 1],
        [4, 1],
      ],
    ]);
    expect(events.filter(({ kind }) => kind === "start")).toMatchObject([{ promptTokens: 2 }, { promptTokens: 3 }]);
    for (const { index, text, finishReason, completion } of plain.choices) {
      const own = events.filter(({ choice }) => choice === index);
      expect(own.flatMap((event) => (event.kind === "text" ? event.text : [])).join("")).toBe(text);
      expect(own.flatMap((event) => (event.kind === "tokens" ? event.logprobs : []))).toEqual(completion.logprobs);
      expect(own.flatMap((event) => (event.kind === "tokens" ? event.tokens : []))).toEqual(completion.tokens);
      expect(own.at(-1)).toMatchObject({ kind: "end", finishReason });
      expect(own.filter(({ kind }) => kind === "end").length).toBe(1);
    }
    await engine.dispose();
  });

  it("names the stop string that matched", async () => {
    const { engine } = fakeEngine();
    const { text } = (await answer(engine, request([{ prompt: "ab", maxTokens: 8 }]), never).done).choices[0] ?? {};
    const stop = text?.slice(2, 4) ?? "";
    const { events } = answer(engine, request([{ prompt: "ab", maxTokens: 8, stop: ["zzz", stop] }]), never);
    expect((await collect(events)).at(-1)).toEqual({ choice: 0, kind: "end", finishReason: "stop", stop });
    await engine.dispose();
  });

  it("cancels what runs when its reader leaves, and keeps the output", async () => {
    const { engine } = fakeEngine();
    const { events, done } = answer(engine, request([{ prompt: "ab", n: 2 }, { prompt: "b" }]), never);
    for await (const _ of events) break;
    expect((await done).choices.map(({ finishReason }) => finishReason)).toEqual(Array(3).fill("cancelled"));
    await engine.dispose();
  });

  it("is cancelled by its signal", async () => {
    const { engine } = fakeEngine();
    const controller = new AbortController();
    const { events, done } = answer(engine, request([{ prompt: "ab" }, { prompt: "b" }]), controller.signal);
    const all: AnswerEvent[] = [];
    for await (const some of events) {
      all.push(...some);
      controller.abort();
    }
    expect(all.slice(-2)).toMatchObject(Array(2).fill({ kind: "end", finishReason: "cancelled" }));
    expect((await done).choices.length).toBe(2);
    await engine.dispose();
  });

  it("fails as a whole, and leaves nothing running", async () => {
    const { engine } = fakeEngine();
    const tooLong = { ids: Array(engine.info.contextLength).fill(1) };
    expect(() => answer(engine, request([{ prompt: "ab" }, tooLong]), never)).toThrow(/do not fit/);
    const failing = { messages: [{ role: "user" as const, content: "a".repeat(engine.info.contextLength) }] };
    const { events, done } = answer(engine, request([{ prompt: "ab" }, failing]), never);
    await expect(collect(events)).rejects.toThrow(/do not fit/);
    await expect(done).rejects.toThrow(/do not fit/);
    // Waits for what still runs.
    await engine.dispose();
  });
});
