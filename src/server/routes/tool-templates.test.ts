import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { engineOver } from "../../../test/support/fake-engine.ts";
import { FakeModel } from "../../../test/support/fake-model.ts";
import { testServers } from "../../../test/support/test-server.ts";
import { textOf } from "../../engine/load/text-tokenizer.ts";
import { openModel } from "../../model/open/open-model.ts";

const root = join(import.meta.dirname, "..", "..", "..");
const templates = join(root, "..", "shared", "fixtures", "chat-templates", "templates");
const hasTemplates = existsSync(templates);
if (!hasTemplates) console.warn("skipped: no chat templates of models in ../shared");

const parameters = {
  type: "object",
  properties: { city: { enum: ["Paris", "Rome"] }, days: { type: "integer", minimum: 1, maximum: 9 } },
  required: ["city", "days"],
  additionalProperties: false,
};
const tools = [
  { type: "function", function: { name: "weather", description: "Weather of a city", parameters } },
  { type: "function", function: { name: "no_arguments", parameters: { type: "object", additionalProperties: false } } },
];

/** A tokenizer of a test file with a chat template of a real model. */
function tokenizerWith(template: string) {
  const opened = openModel(join(root, "test", "fixtures", "gguf", "tiny64-Q8_0.gguf"), "gguf");
  const metadata = new Map(opened.metadata).set("tokenizer.chat_template", template);
  const { tokenizer, endTokens } = textOf({ ...opened, metadata });
  opened.close();
  if (tokenizer === undefined) throw new Error("the file has no tokenizer");
  return { tokenizer, endTokens: [...endTokens], vocabSize: opened.config.vocabSize };
}

const start = testServers();
function startWith(template: string) {
  const { tokenizer, endTokens, vocabSize } = tokenizerWith(template);
  const load = async () =>
    engineOver(new FakeModel({ vocabSize }), { tokenizer, endTokens, context: 20_000, maxSequences: 2 });
  return start({ load });
}

const openReasoning = "{% for message in messages %}{{ message.content }}{% endfor %}{{ tools | tojson }}<think>\n";
const fileOf = (name: string) => (hasTemplates ? readFileSync(join(templates, `${name}.jinja`), "utf8") : "");

describe.each([
  ["Llama 3.1", fileOf("Llama-3.1-8B-Instruct")],
  ["Llama 3.2", fileOf("Llama-3.2-3B-Instruct")],
  ["Qwen 2.5", fileOf("Qwen2.5-7B-Instruct")],
  ["Qwen 3", fileOf("Qwen3-0.6B")],
  ["one that opens reasoning", openReasoning],
])("with the chat template of %s", (_, template) => {
  it.skipIf(template === "")("required calls have arguments of the schema, whole and streamed", async () => {
    const { post } = await startWith(template);
    for (const seed of [1, 2, 3]) {
      const asked = {
        ...{ model: "m", messages: [{ role: "user", content: "Weather?" }], tools, seed, max_tokens: 300 },
        ...{ tool_choice: "required", parallel_tool_calls: false },
      };
      const whole = JSON.parse(await (await post("/v1/chat/completions", asked)).text());
      const [{ message, finish_reason: reason }] = whole.choices;
      expect([reason, message.reasoning_content]).toEqual(["tool_calls", undefined]);
      const [call, ...others] = message.tool_calls;
      expect(others).toEqual([]);
      const given = JSON.parse(call.function.arguments);
      if (call.function.name === "no_arguments") expect(given).toEqual({});
      else {
        expect(given).toEqual({ city: expect.stringMatching(/^(Paris|Rome)$/), days: expect.any(Number) });
        expect(given.days).toSatisfy((days: number) => days >= 1 && days <= 9);
      }
      const stream = await (await post("/v1/chat/completions", { ...asked, stream: true })).text();
      const deltas = [...stream.matchAll(/^data: (\{.*)$/gm)].map(
        ([, json = ""]) => JSON.parse(json).choices[0]?.delta,
      );
      const functions = deltas.flatMap((delta) => delta?.tool_calls ?? []).map((part) => part.function);
      expect(functions.map((part) => part.arguments ?? "").join("")).toBe(call.function.arguments);
      expect(functions.map((part) => part.name ?? "").join("")).toBe(call.function.name);
    }
  });

  it.skipIf(template === "")("calls and their results go back into the prompt", async () => {
    const { post } = await startWith(template);
    const call = {
      id: "call12345",
      type: "function",
      function: { name: "weather", arguments: '{"city": "Rome", "days": 3}' },
    };
    const messages = [
      { role: "user", content: "Weather?" },
      { role: "assistant", content: "", tool_calls: [call] },
      { role: "tool", tool_call_id: "call12345", content: "Sunny, 25 C" },
    ];
    const { prompt } = JSON.parse(await (await post("/apply-template", { messages, tools })).text());
    if (template !== openReasoning) expect(prompt).toContain("Rome");
    expect(prompt).toContain("Sunny, 25 C");
  });
});
