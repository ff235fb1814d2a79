import { Readable } from "node:stream";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { answerOfDeltas, messageDeltas } from "../../../test/support/answer-events.ts";
import { fakeEngine } from "../../../test/support/fake-engine.ts";
import { foldChunks } from "../../../test/support/fold-chunks.ts";
import { answer } from "../../answer/answer.ts";
import type { RunningAnswer } from "../../answer/types.ts";
import type { EngineModel } from "../../engine/engine-model.ts";
import { type Endpoint, readOpenAiRequest } from "./request.ts";
import { resultOf } from "../extension.ts";
import { openAiResponse } from "./response.ts";
import { OpenAiStream } from "./stream.ts";

interface Chunk {
  readonly choices: readonly {
    readonly index: number;
    readonly delta?: Readonly<Record<string, unknown>>;
    readonly finish_reason: string | null;
  }[];
  readonly usage?: unknown;
  readonly idlm?: unknown;
}

const never = new AbortController().signal;

/** The chunks and the body of one request, run twice. */
async function bothOf(engine: EngineModel, endpoint: Endpoint, body: object) {
  const request = { ...readOpenAiRequest(endpoint, body), id: "x" };
  const { tokenizer, info } = engine;
  const context = { id: "x", model: "m", created: 1, tokenizer, numerics: info.backend.numerics };
  const chunks = await chunksOf(new OpenAiStream(request, context), answer(engine, request, never));
  return { chunks, body: openAiResponse(request, await answer(engine, request, never).done, context) };
}

async function chunksOf(stream: OpenAiStream, { events, done }: RunningAnswer): Promise<readonly Chunk[]> {
  const texts: string[] = [];
  for await (const some of events) texts.push(...some.flatMap((event) => stream.push(event)));
  texts.push(...stream.end(await done));
  return texts.map((text) => {
    const chunk: Chunk = JSON.parse(text);
    // Written as JSON.stringify does, although not by it.
    expect(JSON.stringify(chunk)).toBe(text);
    return chunk;
  });
}

/** Choices as in JSON; no log-probabilities at all are null in a stream. */
function plain(choices: readonly object[]): unknown {
  const json = JSON.parse(JSON.stringify(choices)) as { readonly logprobs: Readonly<Record<string, unknown>> | null }[];
  return json.map((choice) => {
    const { logprobs } = choice;
    const isEmpty = [logprobs?.content, logprobs?.tokens].some((list) => Array.isArray(list) && list.length === 0);
    return isEmpty ? { ...choice, logprobs: null } : choice;
  });
}

function omit(value: object | undefined, key: string): object {
  return Object.fromEntries(Object.entries(value ?? {}).filter(([name]) => name !== key));
}

const optional = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
const common = {
  n: optional(fc.integer({ min: 1, max: 3 })),
  max_tokens: fc.integer({ min: 1, max: 12 }),
  temperature: fc.constantFrom(0, 1),
  seed: optional(fc.nat(100)),
  stop: optional(fc.array(fc.constantFrom("a", "b", "ab", "ba ", "\n", "é"), { maxLength: 3 })),
};

describe("OpenAiStream", () => {
  it("has chunks that together are the unstreamed chat completion", async () => {
    const { engine } = fakeEngine({ endTokens: [5] });
    const bodies = fc.record({
      ...common,
      messages: fc.constantFrom("a", "b ab").map((content) => [{ role: "user", content }]),
      logprobs: optional(fc.boolean()),
    });
    await fc.assert(
      fc.asyncProperty(bodies, async (asked) => {
        const { chunks, body } = await bothOf(engine, "chat", asked);
        const choices = foldChunks(chunks).map(({ message, ...choice }) => {
          return { ...choice, message: { refusal: null, annotations: [], ...(message as object) } };
        });
        expect(choices).toEqual(plain(body.choices));
      }),
      { numRuns: 60 },
    );
    await engine.dispose();
  });

  it("has chunks that together are the unstreamed completion", async () => {
    const { engine } = fakeEngine({ endTokens: [5] });
    const bodies = fc.record({
      ...common,
      prompt: fc.constantFrom<unknown>("a", ["b ab", "a"], [1, 2], [[1], [0, 4]]),
      logprobs: optional(fc.nat(3)),
      echo: optional(fc.boolean()),
    });
    await fc.assert(
      fc.asyncProperty(bodies, async (asked) => {
        const { chunks, body } = await bothOf(engine, "completions", asked);
        expect(foldChunks(chunks)).toEqual(plain(body.choices));
      }),
      { numRuns: 60 },
    );
    await engine.dispose();
  });

  it("has reasoning and calls, each call with its id and name once", async () => {
    const request = readOpenAiRequest("chat", {
      messages: [{ role: "user", content: "a" }],
      foo: 1,
      idlm: { rounds: true },
    });
    const context = { id: "x", model: "m", created: 1, tokenizer: undefined, numerics: 1 };
    await fc.assert(
      fc.asyncProperty(messageDeltas, async (deltas) => {
        const { answer, events } = answerOfDeltas(deltas);
        const running = { events: Readable.from([events]), done: Promise.resolve(answer) };
        const chunks = await chunksOf(new OpenAiStream(request, context), running);
        const { choices, idlm } = openAiResponse(request, answer, context);
        const [choice] = choices as readonly { readonly message: Readonly<Record<string, unknown>> }[];
        const [folded] = foldChunks(chunks);
        expect(folded).toEqual({
          ...choice,
          message: { ...omit(omit(choice?.message, "refusal"), "annotations"), content: choice?.message.content ?? "" },
        });
        expect(chunks[0]?.idlm).toMatchObject({ ignored: ["foo"] });
        expect(idlm).toMatchObject({ ignored: ["foo"], ...resultOf(answer) });
        expect(chunks.at(-1)?.idlm).toMatchObject(resultOf(answer));
      }),
    );
  });

  it("has each record of a round in the chunk with its text", async () => {
    const { engine } = fakeEngine();
    const asked = { messages: [{ role: "user", content: "ab" }], max_tokens: 6, idlm: { rounds: true } };
    const { chunks } = await bothOf(engine, "chat", asked);
    const found = chunks.flatMap(({ idlm, choices }) => {
      const { round } = (idlm ?? {}) as { readonly round?: { readonly tokens: readonly { readonly text: string }[] } };
      return round === undefined ? [] : [{ own: round.tokens.map(({ text }) => text).join(""), choices }];
    });
    expect(found.length).toBeGreaterThan(1);
    for (const { own, choices } of found) expect(choices[0]?.delta?.content).toBe(own);
    await engine.dispose();
  });

  it("begins with the role and finishes without content", async () => {
    const { engine } = fakeEngine();
    const messages = [{ role: "user", content: "ab" }];
    const { chunks } = await bothOf(engine, "chat", { messages, n: 2, max_tokens: 5 });
    for (const index of [0, 1]) {
      const own = chunks.flatMap(({ choices }) => choices).filter((choice) => choice.index === index);
      expect(own[0]?.delta).toEqual({ role: "assistant", content: "" });
      expect(own.filter(({ delta }) => delta?.role !== undefined).length).toBe(1);
      expect(own.at(-1)).toEqual({ index, delta: {}, logprobs: null, finish_reason: "length" });
      expect(own.slice(0, -1).every(({ finish_reason: reason }) => reason === null)).toBe(true);
    }
    expect(chunks.every((chunk) => !("usage" in chunk))).toBe(true);
    await engine.dispose();
  });

  it.each(["chat", "completions"] as const)("has a chunk for the usage, if requested (%s)", async (endpoint) => {
    const { engine } = fakeEngine();
    const prompt = endpoint === "chat" ? { messages: [{ role: "user", content: "ab" }] } : { prompt: "ab" };
    const asked = { ...prompt, max_tokens: 5, stream_options: { include_usage: true } };
    const { chunks, body } = await bothOf(engine, endpoint, asked);
    expect(chunks.slice(0, -1).every(({ usage }) => usage === null)).toBe(true);
    const last = chunks.at(-1);
    expect(last?.choices).toEqual([]);
    expect(last?.usage).toMatchObject({ completion_tokens: 5, total_tokens: body.usage.total_tokens });
    await engine.dispose();
  });

  it("fails before its first chunk if the request is wrong", async () => {
    const { engine } = fakeEngine();
    const messages = [{ role: "user", content: "a".repeat(engine.info.contextLength) }];
    await expect(bothOf(engine, "chat", { messages })).rejects.toThrow(/do not fit/);
    await engine.dispose();
  });
});
