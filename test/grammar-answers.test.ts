import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { answer } from "../src/answer/answer.ts";
import { messageOf } from "../src/answer/message-reader.ts";
import type { MessageDelta } from "../src/answer/types.ts";
import { readOpenAiRequest } from "../src/apis/openai/request.ts";
import { load, type Model } from "../src/index.ts";

const MODEL = join(import.meta.dirname, "fixtures/gguf/tiny64-F16.gguf");
const messages = [{ role: "user", content: "What is the weather?" }];
const parameters = {
  type: "object",
  properties: { city: { enum: ["Oslo", "Rome"] }, days: { type: "integer", minimum: 1, maximum: 9 } },
  required: ["city", "days"],
};
const tools = [{ type: "function", function: { name: "get_weather", parameters } }];

describe("answers with grammars", () => {
  let model: Model;
  beforeAll(async () => {
    model = await load(MODEL, { threads: 1 });
  });
  afterAll(() => model.dispose());

  async function run(body: object) {
    const request = readOpenAiRequest("chat", { messages, max_tokens: 200, ...body });
    // The context is too short for the description of tools.
    const requests = request.requests.map(({ messages: _, tools: __, ...own }) => ({ ...own, prompt: "weather: " }));
    const running = answer(model, { ...request, requests }, new AbortController().signal);
    const deltas: MessageDelta[] = [];
    for await (const events of running.events) {
      for (const event of events) {
        if (event.kind === "text" || event.kind === "tool-call" || event.kind === "tool-arguments") deltas.push(event);
      }
    }
    const { choices, results } = await running.done;
    const [choice] = choices;
    expect(messageOf(deltas)).toMatchObject({ text: choice?.text, toolCalls: choice?.toolCalls });
    return { choice, result: results[0] };
  }

  it("tool_choice required ends in a call with arguments of the schema, the same with and without proposals", async () => {
    const seen: unknown[] = [];
    for (const propose of ["none", "grammar", "auto"]) {
      const { choice, result } = await run({ tools, tool_choice: "required", parallel_tool_calls: false, propose });
      expect(choice).toMatchObject({ text: "", finishReason: "tool_calls" });
      const [call] = choice?.toolCalls ?? [];
      expect(call?.name).toBe("get_weather");
      const { city, days } = JSON.parse(call?.arguments ?? "") as { city: string; days: number };
      expect(["Oslo", "Rome"]).toContain(city);
      expect(days).toBeGreaterThanOrEqual(1);
      seen.push(result?.sha256);
    }
    expect(new Set(seen).size).toBe(1);
  });

  it("response_format json_schema gives a value of the schema, sampled, too", async () => {
    for (const seed of [0, 1, 2]) {
      const response_format = { type: "json_schema", json_schema: { name: "weather", schema: parameters } };
      const { choice } = await run({ response_format, seed, temperature: 1.5 });
      expect(choice?.finishReason).toBe("stop");
      expect(Object.keys(JSON.parse(choice?.text ?? "") as object)).toEqual(["city", "days"]);
    }
  });

  it("a grammar that the engine refuses is an error of the request", async () => {
    await expect(
      run({ tools: [{ type: "function", function: { name: "a", strict: true, parameters: { not: {} } } }] }),
    ).rejects.toThrow("tools[0].parameters.not");
  });
});
