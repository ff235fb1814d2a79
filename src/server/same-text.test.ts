import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startTestServer } from "../../test/support/test-server.ts";
import { load } from "../engine/load/load.ts";
import type { GenerateRequest, Model } from "../engine/types.ts";
import { includedModel } from "../hub/catalogue.ts";

/** Trained, so that proposals are accepted. */
const included = includedModel();

/** A request of a client, and how it finds the text in the events or the body of the answer. */
interface Kind {
  readonly name: string;
  readonly path: string;
  readonly body: (text: string, settings: Settings) => object;
  /** The same request to the library. */
  readonly plain: (text: string, settings: Settings) => GenerateRequest;
  readonly text: (answers: readonly Json[]) => string;
}

interface Settings {
  readonly maxTokens: number;
  readonly temperature: number;
  readonly seed: number;
}

// biome-ignore lint/suspicious/noExplicitAny: bodies of seven APIs, of which a test reads one path each
type Json = any;

const messages = (content: string) => [{ role: "user" as const, content }];
const asChat = (text: string, settings: Settings) => ({ messages: messages(text), ...settings });
const asText = (prompt: string, settings: Settings) => ({ prompt, ...settings });
const joined = (answers: readonly Json[], textOf: (answer: Json) => string | undefined) =>
  answers.map((answer) => textOf(answer) ?? "").join("");
const openAi = ({ maxTokens, temperature, seed }: Settings) => ({
  model: "m",
  max_tokens: maxTokens,
  temperature,
  seed,
});

const kinds: readonly Kind[] = [
  {
    name: "chat",
    path: "/v1/chat/completions",
    body: (text, settings) => ({ ...openAi(settings), messages: messages(text) }),
    plain: asChat,
    text: ([answer]) => answer.choices[0].message.content,
  },
  {
    name: "chat, streamed",
    path: "/v1/chat/completions",
    body: (text, settings) => ({ ...openAi(settings), messages: messages(text), stream: true, idlm: { rounds: true } }),
    plain: asChat,
    text: (chunks) => joined(chunks, ({ choices }) => choices[0]?.delta.content),
  },
  {
    name: "completions",
    path: "/v1/completions",
    body: (text, settings) => ({ ...openAi(settings), prompt: ["other", text], n: 2 }),
    plain: asText,
    // Choices of the first prompt come first.
    text: ([answer]) => answer.choices[2].text,
  },
  {
    name: "completions, streamed",
    path: "/v1/completions",
    body: (text, settings) => ({ ...openAi(settings), prompt: text, stream: true }),
    plain: asText,
    text: (chunks) => joined(chunks, ({ choices }) => choices[0]?.text),
  },
  {
    name: "responses",
    path: "/v1/responses",
    body: (input, { maxTokens, temperature }) => ({
      ...{ model: "m", input, max_output_tokens: maxTokens, temperature },
    }),
    plain: (text, settings) => asChat(text, { ...settings, seed: 0 }),
    text: ([answer]) => answer.output[0]?.content[0]?.text ?? "",
  },
  {
    name: "responses, streamed",
    path: "/v1/responses",
    body: (input, { maxTokens, temperature }) => ({
      ...{ model: "m", input, max_output_tokens: maxTokens, temperature, stream: true },
    }),
    plain: (text, settings) => asChat(text, { ...settings, seed: 0 }),
    text: (events) => joined(events, ({ type, delta }) => (type === "response.output_text.delta" ? delta : "")),
  },
  {
    name: "messages",
    path: "/v1/messages",
    body: (text, { maxTokens, temperature }) => ({
      ...{ model: "m", messages: messages(text), max_tokens: maxTokens, temperature },
    }),
    plain: (text, settings) => asChat(text, { ...settings, seed: 0 }),
    text: ([answer]) => joined(answer.content, ({ text }) => text),
  },
  {
    name: "messages, streamed",
    path: "/v1/messages",
    body: (text, { maxTokens, temperature }) => ({
      ...{ model: "m", messages: messages(text), max_tokens: maxTokens, temperature, stream: true },
    }),
    plain: (text, settings) => asChat(text, { ...settings, seed: 0 }),
    text: (events) => joined(events, ({ delta }) => delta?.text),
  },
  {
    name: "Ollama's chat",
    path: "/api/chat",
    body: (text, { maxTokens, temperature, seed }) => ({
      ...{ model: "m", messages: messages(text), options: { num_predict: maxTokens, temperature, seed } },
    }),
    plain: asChat,
    text: (lines) => joined(lines, ({ message }) => message?.content),
  },
  {
    name: "Ollama's generate",
    path: "/api/generate",
    body: (prompt, { maxTokens, temperature, seed }) => ({
      ...{ model: "m", prompt, raw: true, stream: false, options: { num_predict: maxTokens, temperature, seed } },
    }),
    plain: asText,
    text: (lines) => joined(lines, ({ response }) => response),
  },
  {
    name: "llama-server's completion",
    path: "/completion",
    body: (prompt, { maxTokens, temperature, seed }) => ({ prompt, n_predict: maxTokens, temperature, seed }),
    plain: asText,
    text: ([answer]) => answer.content,
  },
];

/** The JSON values of a body, an event stream or lines of JSON. */
function answersOf(text: string): readonly Json[] {
  const lines = text.split("\n").flatMap((line) => {
    const json = line.replace(/^data: /, "");
    return json.startsWith("{") ? [json] : [];
  });
  return lines.map((line) => JSON.parse(line));
}

const N_REQUESTS = 200;

describe("requests of every kind", () => {
  /** Of the texts that the library generates. */
  let expected: readonly string[];
  let server: Awaited<ReturnType<typeof startTestServer>>;
  beforeAll(async () => {
    // One thread: threads of parallel test files would wait for each other.
    const model: Model = await load(included.model, { threads: 1 });
    const results = cases.map(({ kind, text, settings }) => {
      return model.generate({ ...kind.plain(text, settings), propose: "none" }).result;
    });
    expected = (await Promise.all(results)).map(({ sha256 }) => sha256);
    await model.dispose();
    server = await startTestServer({
      load: (_, options) =>
        load(included.model, { ...options, adapter: included.adapter, threads: 1, maxSequences: 8 }),
    });
  });
  afterAll(() => server.stop());

  const cases = Array.from({ length: N_REQUESTS }, (_, i) => ({
    kind: kinds[i % kinds.length] as Kind,
    text: `Tell me about the ${["cat", "owl", "whale"][i % 3]} in ${1 + (i % 40)} sentences${", please".repeat(i % 7)}.`,
    /** With the controller's rounds, or always with MASK rows. */
    rounds: i % 4 === 0 ? {} : { propose: "mask", stride: 2 + (i % 3), shape: i % 2 === 0 ? "quadratic" : "chain" },
    settings: { maxTokens: 1 + (i % 12), temperature: [0, 0.7, 1.3][i % 3] as number, seed: i },
  }));

  it.each([1, 16, 64])("have the text of the library at concurrency %i", async (concurrency) => {
    const waiting = [...cases.entries()];
    const hashes: string[] = [];
    const tokensPerForward: number[] = [];
    const worker = async () => {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
        const [i, { kind, text, settings, rounds }] = next;
        const response = await server.post(kind.path, { ...kind.body(text, settings), ...rounds });
        const body = await response.text();
        expect(response.status, `${kind.name}: ${body}`).toBe(200);
        const answers = answersOf(body);
        tokensPerForward.push(...answers.flatMap(({ idlm }) => idlm?.result?.tokensPerForward ?? []));
        hashes[i] = createHash("sha256").update(kind.text(answers)).digest("hex");
      }
    };
    await Promise.all(Array.from({ length: concurrency }, worker));
    // Those that ask for records of rounds; the longest answers have 12 tokens.
    expect(Math.max(...tokensPerForward)).toBeGreaterThan(1.5);
    for (const [i, { kind }] of cases.entries()) expect(hashes[i], `${kind.name} ${i}`).toBe(expected[i]);
  });
});
