import Anthropic from "@anthropic-ai/sdk";
import { Ollama } from "ollama";
import OpenAI from "openai";
import { pino } from "pino";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fakeEngine } from "../../../test/support/fake-engine.ts";
import { scriptedModel } from "../../../test/support/scripted-model.ts";
import { startServer } from "../server.ts";
import { defaultSettings } from "../settings.ts";

const call = (city: string) => `<tool_call>\n{"name": "weather", "arguments": {"city": "${city}"}}\n</tool_call>`;
const text = `<think>\nWhich city?\n</think>\n\nI look.${call("Paris")}\n${call("Rome")}`;
const parameters = { type: "object" as const, properties: { city: { type: "string" } }, required: ["city"] };

let server: Awaited<ReturnType<typeof startServer>>;
beforeAll(async () => {
  const { engine } = fakeEngine();
  server = await startServer({
    specs: [{ name: "m", aliases: [], source: "m", adapter: undefined }],
    load: async () => scriptedModel(engine, text),
    settings: { ...defaultSettings, port: 0 },
    log: pino({ level: "silent" }),
  });
});
afterAll(() => server.stop());

/** Reasoning, text and calls of one message, whole and streamed. */
describe("a message with reasoning and calls", () => {
  it("is read by openai's client of responses", async () => {
    const client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "none" });
    const tools = [{ type: "function" as const, name: "weather", parameters, strict: false }];
    const asked = { model: "m", input: "Paris?", tools };
    const whole = await client.responses.create(asked);
    expect(whole.output).toMatchObject([
      { type: "reasoning", content: [{ type: "reasoning_text", text: expect.stringContaining("Which city?") }] },
      { type: "message", content: [{ type: "output_text", text: "I look." }] },
      { type: "function_call", name: "weather", arguments: '{"city": "Paris"}', call_id: expect.any(String) },
      { type: "function_call", name: "weather", arguments: '{"city": "Rome"}' },
    ]);
    const nReasoning = whole.usage?.output_tokens_details.reasoning_tokens ?? 0;
    expect(nReasoning).toBeGreaterThan(0);
    const stream = client.responses.stream(asked);
    const deltas = new Map<number, string>();
    for await (const event of stream) {
      if (!("delta" in event) || !("output_index" in event)) continue;
      deltas.set(event.output_index, `${deltas.get(event.output_index) ?? ""}${String(event.delta)}`);
    }
    const { output, usage } = await stream.finalResponse();
    expect(usage?.output_tokens_details.reasoning_tokens).toBe(nReasoning);
    const withoutIds = (items: readonly object[]) =>
      items.map((item) => Object.entries(item).filter(([key]) => !/id$|parsed/.test(key) && key !== "content"));
    expect(withoutIds(output)).toEqual(withoutIds(whole.output));
    const texts = output.map((item) =>
      item.type === "function_call"
        ? item.arguments
        : "content" in item
          ? (item.content as { text: string }[])[0]?.text
          : "",
    );
    expect([...deltas.values()]).toEqual(texts);
    // The items of the answer are what a client sends back with results.
    const [, , first] = whole.output;
    const result = {
      type: "function_call_output" as const,
      call_id: first && "call_id" in first ? first.call_id : "",
      output: "20",
    };
    const back = [{ role: "user" as const, content: "Paris?" }, ...whole.output, result];
    expect(await client.responses.create({ ...asked, input: back as never })).toMatchObject({ status: "completed" });
  });

  it("is read by anthropic's client", async () => {
    const client = new Anthropic({ baseURL: server.url, apiKey: "none" });
    const tools = [{ name: "weather", input_schema: parameters }];
    const messages = [{ role: "user" as const, content: "Paris?" }];
    const asked = { model: "m", max_tokens: 50, tools, messages };
    const whole = await client.messages.create(asked);
    expect(whole).toMatchObject({
      stop_reason: "tool_use",
      content: [
        { type: "thinking", thinking: expect.stringContaining("Which city?"), signature: "" },
        { type: "text", text: "I look." },
        { type: "tool_use", name: "weather", input: { city: "Paris" }, id: expect.any(String) },
        { type: "tool_use", name: "weather", input: { city: "Rome" } },
      ],
    });
    const streamed = await client.messages.stream(asked).finalMessage();
    const withoutIds = (content: readonly object[]) => content.map((block) => ({ ...block, id: undefined }));
    expect(withoutIds(streamed.content)).toMatchObject(withoutIds(whole.content));
    const results = whole.content.flatMap((block) =>
      block.type === "tool_use" ? [{ type: "tool_result" as const, tool_use_id: block.id, content: "20" }] : [],
    );
    const back = [
      ...messages,
      { role: "assistant" as const, content: whole.content },
      { role: "user" as const, content: results },
    ];
    expect((await client.messages.create({ ...asked, messages: back })).type).toBe("message");
  });

  it("is read by ollama's client", async () => {
    const client = new Ollama({ host: server.url });
    const tools = [{ type: "function", function: { name: "weather", description: "", parameters } }];
    const messages = [{ role: "user", content: "Paris?" }];
    const asked = { model: "m", messages, tools };
    const { message, done_reason } = await client.chat(asked);
    expect(done_reason).toBe("stop");
    expect(message).toMatchObject({
      ...{ role: "assistant", content: "I look.", thinking: expect.stringContaining("Which city?") },
      tool_calls: ["Paris", "Rome"].map((city) => ({ function: { name: "weather", arguments: { city } } })),
    });
    const parts = [];
    for await (const part of await client.chat({ ...asked, stream: true })) parts.push(part.message);
    expect(parts.map(({ content }) => content).join("")).toBe(message.content);
    expect(parts.map(({ thinking = "" }) => thinking).join("")).toBe(message.thinking);
    expect(parts.flatMap(({ tool_calls = [] }) => tool_calls.map((one) => one.function))).toEqual(
      message.tool_calls?.map((one) => one.function),
    );
    const back = [...messages, message, { role: "tool", content: "20", tool_name: "weather" }];
    expect((await client.chat({ ...asked, messages: back })).done).toBe(true);
  });
});

describe("what is not offered", () => {
  it.each([
    ["/v1/embeddings", { error: { code: "not_offered" } }],
    ["/v1/audio/speech", { error: { code: "not_offered" } }],
    ["/v1/messages/batches", { type: "error", error: { type: "api_error" } }],
    ["/api/embed", { error: expect.stringContaining("/api/embed") }],
    ["/api/pull", { error: expect.stringContaining("/api/pull") }],
    ["/embedding", { error: { code: 501, type: "not_supported_error" } }],
  ])("%s is answered with 501 in the form of its API", async (path, body) => {
    const response = await fetch(`${server.url}${path}`, { method: "POST", body: "{}" });
    expect([response.status, response.headers.get("x-should-retry")]).toEqual([501, "false"]);
    expect(JSON.parse(await response.text())).toMatchObject(body);
  });
});
