import Anthropic from "@anthropic-ai/sdk";
import { Ollama } from "ollama";
import OpenAI from "openai";
import { pino } from "pino";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fakeEngine } from "../../../test/support/fake-engine.ts";
import { fakeTokenizer } from "../../../test/support/fake-tokenizer.ts";
import { startServer } from "../server.ts";
import { defaultSettings } from "../settings.ts";

const CONTEXT = 200;
const { engine } = fakeEngine({ context: CONTEXT });
const specs = ["m", "other"].map((name) => ({ name, aliases: [], source: name, adapter: undefined }));
let server: Awaited<ReturnType<typeof startServer>>;
let openai: OpenAI;
let anthropic: Anthropic;
let ollama: Ollama;

beforeAll(async () => {
  const log = pino({ level: "silent" });
  server = await startServer({
    specs,
    load: async (spec) => (spec.name === "m" ? engine : fakeEngine({ context: CONTEXT }).engine),
    settings: { ...defaultSettings, port: 0 },
    log,
  });
  openai = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "none", maxRetries: 0 });
  anthropic = new Anthropic({ baseURL: server.url, apiKey: "none", maxRetries: 0 });
  ollama = new Ollama({ host: server.url });
});
afterAll(() => server.stop());

const post = async (path: string, body: object) => {
  const response = await fetch(`${server.url}${path}`, { method: "POST", body: JSON.stringify(body) });
  return { status: response.status, body: JSON.parse(await response.text()) };
};
const error = async (promise: PromiseLike<unknown>) => {
  try {
    await promise;
  } catch (caught) {
    return caught as { readonly status?: number; readonly message: string; readonly error?: unknown };
  }
  throw new Error("no error");
};

/** What the command line writes. */
async function plainText(content: string, options: object) {
  const ids = await fakeTokenizer.encodeChat([{ role: "user", content }]);
  return (await engine.generate({ ids, propose: "none", ...options }).result).text;
}
const long = "ab".repeat(CONTEXT);

describe("openai: responses", () => {
  const asked = { model: "m", input: "ab", max_output_tokens: 12 };

  it("answers whole and streamed with the same text", async () => {
    const whole = await openai.responses.create(asked);
    expect(whole.output_text).toBe(await plainText("ab", { maxTokens: 12, temperature: 1 }));
    const stream = openai.responses.stream(asked);
    let deltas = "";
    for await (const event of stream) if (event.type === "response.output_text.delta") deltas += event.delta;
    const final = await stream.finalResponse();
    expect([deltas, final.output_text]).toEqual([whole.output_text, whole.output_text]);
    expect(final).toMatchObject({ status: whole.status, usage: { ...whole.usage, input_tokens_details: {} } });
    expect(whole).toMatchObject({ status: "incomplete", incomplete_details: { reason: "max_output_tokens" } });
  });

  it("keeps responses, continues and deletes them", async () => {
    const first = await openai.responses.create(asked);
    expect(await openai.responses.retrieve(first.id)).toMatchObject({ id: first.id, output: first.output });
    const next = await openai.responses.create({ ...asked, input: "b", previous_response_id: first.id });
    const input = [
      { role: "user" as const, content: "ab" },
      { role: "assistant" as const, content: first.output_text },
      { role: "user" as const, content: "b" },
    ];
    const sent = await openai.responses.create({ ...asked, input, store: false });
    expect(next.output_text).toBe(sent.output_text);
    const counted = await openai.responses.inputTokens.count({ model: "m", input });
    expect(counted.input_tokens).toBe(next.usage?.input_tokens);
    const reference = { type: "item_reference" as const, id: first.output[0]?.id ?? "" };
    const referred = input.map((message) => (message.role === "assistant" ? reference : message));
    const withReference = await openai.responses.create({ ...asked, input: referred });
    expect(withReference.output_text).toBe(next.output_text);
    await openai.responses.delete(first.id);
    for (const id of [first.id, sent.id]) {
      expect(await error(openai.responses.retrieve(id))).toMatchObject({ status: 404 });
    }
    const broken = openai.responses.create({ ...asked, previous_response_id: next.id });
    expect(await error(broken)).toMatchObject({ status: 400, param: "previous_response_id" });
  });

  it("refuses in the API's form", async () => {
    const create = (body: object) => error(openai.responses.create({ ...asked, ...body } as typeof asked));
    expect(await create({ model: "none" })).toMatchObject({ status: 404, code: "model_not_found" });
    expect(await create({ model: undefined })).toMatchObject({ status: 400, param: "model" });
    expect(await create({ input: long })).toMatchObject({ status: 400, code: "context_length_exceeded" });
    expect(await create({ input: long, stream: true })).toMatchObject({ status: 400, code: "context_length_exceeded" });
    expect(await create({ background: true })).toMatchObject({ status: 400, param: "background" });
    expect(await create({ max_output_tokens: 0 })).toMatchObject({ status: 400, param: "max_output_tokens" });
  });
});

describe("anthropic", () => {
  const messages = [{ role: "user" as const, content: "ab" }];
  const asked = { model: "m", max_tokens: 12, messages };

  it("lists models", async () => {
    const { data, has_more, first_id, last_id } = await anthropic.models.list();
    expect(data.map(({ id, type, display_name }) => [id, type, display_name])).toEqual([
      ["m", "model", "m"],
      ["other", "model", "other"],
    ]);
    expect([has_more, first_id, last_id]).toEqual([false, "m", "other"]);
    expect(Date.parse((await anthropic.models.retrieve("m")).created_at)).toBeGreaterThan(0);
  });

  it("answers whole and streamed with the same text", async () => {
    const whole = await anthropic.messages.create(asked);
    const text = await plainText("ab", { maxTokens: 12, temperature: 1 });
    expect(whole.content).toMatchObject([{ type: "text", text }]);
    const stream = anthropic.messages.stream(asked);
    let deltas = "";
    stream.on("text", (delta) => {
      deltas += delta;
    });
    const final = await stream.finalMessage();
    expect([deltas, final.content]).toEqual([text, whole.content]);
    expect(final).toMatchObject({ stop_reason: "max_tokens", usage: { output_tokens: 12 } });
    const total = ({ usage }: Anthropic.Message) => usage.input_tokens + (usage.cache_read_input_tokens ?? 0);
    expect([total(final), total(whole)]).toEqual([3, 3]);
    expect(await anthropic.messages.countTokens({ model: "m", messages })).toEqual({ input_tokens: 3 });
  });

  it("ends at a stop sequence", async () => {
    const text = await plainText("ab", { maxTokens: 12, temperature: 1 });
    const stop = text.slice(4, 6);
    const message = await anthropic.messages.create({ ...asked, stop_sequences: [stop] });
    expect(message).toMatchObject({ stop_reason: "stop_sequence", stop_sequence: stop });
    expect(message.content).toMatchObject([{ text: text.slice(0, text.indexOf(stop)) }]);
  });

  it("refuses in the API's form", async () => {
    const create = (body: object) => error(anthropic.messages.create({ ...asked, ...body } as typeof asked));
    const typed = (type: string) => ({ error: { type: "error", error: { type } } });
    expect(await create({ model: "none" })).toMatchObject({ status: 404, ...typed("not_found_error") });
    expect(await create({ model: undefined })).toMatchObject({ status: 400, ...typed("invalid_request_error") });
    const tooLong = await create({ messages: [{ role: "user", content: long }] });
    expect(tooLong).toMatchObject({ status: 400, ...typed("invalid_request_error") });
    const unsupported = await create({ container: "c" });
    expect(unsupported).toMatchObject({ status: 400, message: expect.stringContaining("container") });
    expect(await create({ stream: true, stop_sequences: [""] })).toMatchObject({
      ...{ status: 400, message: expect.stringContaining("stop_sequences[0]") },
    });
  });
});

describe("ollama", () => {
  const messages = [{ role: "user", content: "ab" }];
  const asked = { model: "m", messages, options: { num_predict: 12 } };

  it("answers whole and streamed with the same text", async () => {
    const whole = await ollama.chat(asked);
    expect(whole.message.content).toBe(await plainText("ab", { maxTokens: 12, temperature: 0.8 }));
    expect(whole).toMatchObject({ done: true, done_reason: "length", eval_count: 12, prompt_eval_count: 3 });
    let streamed = "";
    for await (const { message, done } of await ollama.chat({ ...asked, stream: true })) {
      streamed += message.content;
      expect(typeof done).toBe("boolean");
    }
    expect(streamed).toBe(whole.message.content);
  });

  it("generates from a prompt, in the template and raw", async () => {
    const options = { num_predict: 12 };
    const { response } = await ollama.generate({ model: "m:latest", prompt: "ab", options });
    expect(response).toBe(await plainText("ab", { maxTokens: 12, temperature: 0.8 }));
    const raw = await ollama.generate({ model: "m", prompt: "ab", raw: true, options });
    const { text } = await engine.generate({ prompt: "ab", maxTokens: 12, temperature: 0.8, propose: "none" }).result;
    expect(raw.response).toBe(text);
    let streamed = "";
    for await (const part of await ollama.generate({ model: "m", prompt: "ab", raw: true, options, stream: true })) {
      streamed += part.response;
    }
    expect(streamed).toBe(text);
    expect(await ollama.generate({ model: "other", prompt: "" })).toMatchObject({ done: true, done_reason: "load" });
  });

  it("unloads a model on request", async () => {
    expect((await ollama.ps()).models.map(({ name }) => name)).toEqual(["m", "other"]);
    expect(await ollama.generate({ model: "other", prompt: "", keep_alive: 0 })).toMatchObject({
      done_reason: "unload",
    });
    expect((await ollama.ps()).models.map(({ name }) => name)).toEqual(["m"]);
    expect(await error(ollama.generate({ model: "none", prompt: "", keep_alive: 0 }))).toMatchObject({
      status_code: 404,
    });
  });

  it("lists and shows models", async () => {
    expect((await ollama.list()).models.map(({ name }) => name)).toEqual(["m", "other"]);
    expect((await ollama.ps()).models.map(({ name }) => name)).toEqual(["m"]);
    const shown = await ollama.show({ model: "m" });
    expect(shown.capabilities).toContain("completion");
    const known = Object.entries(shown.model_info);
    expect(known).toContainEqual([expect.stringMatching(/^\w+\.context_length$/), CONTEXT]);
    expect((await ollama.version()).version).toMatch(/^\d+\.\d+\.\d+$/);
  });

  it("refuses in the API's form", async () => {
    expect(await error(ollama.chat({ ...asked, model: "none" }))).toMatchObject({ status_code: 404 });
    expect(await error(ollama.chat({ ...asked, messages: [{ role: "user", content: long }] }))).toMatchObject({
      ...{ status_code: 400, message: expect.stringContaining("do not fit into the context") },
    });
    expect(await post("/api/chat", { messages })).toMatchObject({ status: 400, body: { error: expect.any(String) } });
    const mirostat = error(ollama.chat({ ...asked, options: { mirostat: 2 } }));
    expect((await mirostat).message).toContain("options.mirostat");
    expect(await error(ollama.show({ model: "none" }))).toMatchObject({ status_code: 404 });
  });
});

describe("llama-server's clients", () => {
  const asked = { prompt: "ab", n_predict: 12 };

  it("get the text of a raw prompt, whole and streamed", async () => {
    const { text, tokens } = await engine.generate({ ids: [0, 1], maxTokens: 12, temperature: 1, propose: "none" })
      .result;
    const { body } = await post("/completion", { ...asked, return_tokens: true, n_probs: 2 });
    expect(body).toMatchObject({ content: text, tokens, stop: true, stop_type: "limit", prompt: "ab", model: "m" });
    expect(body.completion_probabilities).toHaveLength(12);
    const response = await fetch(`${server.url}/completion`, {
      method: "POST",
      body: JSON.stringify({ ...asked, stream: true }),
    });
    const chunks = (await response.text())
      .split("\n\n")
      .slice(0, -1)
      .map((event) => JSON.parse(event.slice(6)));
    expect(chunks.map(({ content }) => content).join("")).toBe(text);
    expect(chunks.flatMap((chunk) => chunk.tokens)).toEqual(tokens);
    expect(chunks.map(({ stop }) => stop)).toEqual([...Array(chunks.length - 1).fill(false), true]);
    expect(chunks.at(-1).timings).toMatchObject({ predicted_n: 12 });
  });

  it("get text of a grammar, and what is wrong with one", async () => {
    const grammar = 'root ::= "abab" "b"+';
    const { body } = await post("/completion", { ...asked, grammar });
    expect(body.content).toMatch(/^ababb+$/);
    const wrong = await post("/completion", { ...asked, grammar: "root ::= (" });
    expect(wrong).toMatchObject({ status: 400, body: { error: { message: expect.stringMatching(/^grammar/) } } });
    const schema = await post("/completion", { ...asked, json_schema: { type: "nothing" } });
    expect(schema).toMatchObject({ status: 400, body: { error: { message: expect.stringMatching(/^json_schema/) } } });
  });

  it("get a list for a list of prompts", async () => {
    const { body } = await post("/completion", { ...asked, prompt: ["ab", [0, 1], [0, "b"]] });
    expect(body).toHaveLength(3);
    expect(body[1].content).toBe(body[0].content);
    expect(body[2].content).toBe(body[0].content);
    const { body: empty } = await post("/completion", { ...asked, n_predict: 0 });
    expect(empty).toMatchObject({ content: "", tokens_predicted: 0, stop_type: "limit" });
  });

  it("tokenize, as vLLM's do, and format conversations", async () => {
    const { body } = await post("/tokenize", { content: "ab" });
    expect(body).toEqual({ tokens: [0, 1] });
    expect((await post("/tokenize", { content: "ab", with_pieces: true })).body.tokens).toEqual([
      { id: 0, piece: "a" },
      { id: 1, piece: "b" },
    ]);
    expect((await post("/tokenize", { model: "m", prompt: "ab", return_token_strs: true })).body).toEqual({
      ...{ count: 2, max_model_len: CONTEXT, tokens: [0, 1], token_strs: ["a", "b"] },
    });
    const messages = [{ role: "user", content: "ab" }];
    expect((await post("/tokenize", { model: "m", messages })).body.count).toBe(3);
    expect((await post("/detokenize", { tokens: [0, 1] })).body).toEqual({ content: "ab", prompt: "ab" });
    expect((await post("/apply-template", { messages })).body).toEqual({ prompt: "ab\n" });
  });

  it("are refused in the API's form", async () => {
    const wrong = async (path: string, body: object) => {
      const { status, body: answered } = await post(path, body);
      expect(answered.error.code).toBe(status);
      return [status, answered.error.type];
    };
    expect(await wrong("/completion", { prompt: long })).toEqual([400, "exceed_context_size_error"]);
    expect(await wrong("/completion", { prompt: "ab", mirostat: 1 })).toEqual([400, "invalid_request_error"]);
    expect(await wrong("/completion", { prompt: "ab", model: "none" })).toEqual([404, "not_found_error"]);
    expect(await wrong("/detokenize", { tokens: ["a"] })).toEqual([400, "invalid_request_error"]);
    expect(await wrong("/detokenize", { tokens: [99] })).toEqual([400, "invalid_request_error"]);
    expect(await wrong("/tokenize", {})).toEqual([400, "invalid_request_error"]);
  });
});

describe("records of rounds", () => {
  const idlm = { rounds: true };
  const record = expect.objectContaining({ forward: expect.any(Number), tokens: expect.any(Array) });
  const streamed = async (path: string, body: object) => {
    const request = { method: "POST", body: JSON.stringify({ model: "m", stream: true, idlm, ...body }) };
    const text = await (await fetch(`${server.url}${path}`, request)).text();
    const lines = text.split("\n").filter((line) => line.startsWith("data: ") || line.startsWith("{"));
    return lines
      .map((line) => JSON.parse(line.replace(/^data: /, "")))
      .flatMap((value) => [value, value.response ?? {}]);
  };
  const messages = [{ role: "user" as const, content: "ab" }];

  it.each<[string, object]>([
    ["/v1/responses", { input: "ab", max_output_tokens: 8 }],
    ["/v1/messages", { messages, max_tokens: 8 }],
    ["/api/chat", { messages, options: { num_predict: 8 } }],
    ["/completion", { prompt: "ab", n_predict: 8 }],
  ])("%s has them where they are asked for", async (path, body) => {
    const asked = (await streamed(path, body)).flatMap((value) => value.idlm ?? []);
    expect(asked.filter(({ round }) => round !== undefined)).toEqual(expect.arrayContaining([{ round: record }]));
    expect(asked.at(-1)).toMatchObject({ verify: "exact", lossless: true, result: { forwards: expect.any(Number) } });
    const plain = (await streamed(path, { ...body, idlm: {} })).flatMap((value) => value.idlm ?? []);
    expect(plain.map((value) => Object.keys(value))).toEqual([["verify", "lossless"]]);
  });

  it("do not disturb the official clients", async () => {
    const asked = { model: "m", input: "ab", max_output_tokens: 8, idlm };
    const whole = await openai.responses.create({ model: "m", input: "ab", max_output_tokens: 8 });
    expect((await openai.responses.stream(asked).finalResponse()).output_text).toBe(whole.output_text);
    const message = { model: "m", messages, max_tokens: 8, idlm };
    const text = await anthropic.messages.stream(message).finalText();
    expect(text).toBe(whole.output_text);
  });
});

describe("keys", () => {
  it("are asked for in the form of each API", async () => {
    const settings = { ...defaultSettings, port: 0, apiKeys: ["secret"] };
    const locked = await startServer({ specs, load: async () => engine, settings, log: pino({ level: "silent" }) });
    const refusal = async (path: string) => {
      const response = await fetch(`${locked.url}${path}`, { method: "POST", body: "{}" });
      expect(response.status).toBe(401);
      return JSON.parse(await response.text());
    };
    expect(await refusal("/v1/responses")).toMatchObject({ error: { code: "invalid_api_key" } });
    expect(await refusal("/v1/messages")).toMatchObject({ type: "error", error: { type: "authentication_error" } });
    expect(await refusal("/api/chat")).toEqual({ error: expect.stringContaining("API key") });
    expect(await refusal("/completion")).toMatchObject({ error: { code: 401, type: "authentication_error" } });
    const client = new Anthropic({ baseURL: locked.url, apiKey: "secret" });
    expect(await client.messages.countTokens({ model: "m", messages: [{ role: "user", content: "ab" }] })).toEqual({
      input_tokens: 3,
    });
    await locked.stop();
  });
});
