import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fakeEngine } from "../../../test/support/fake-engine.ts";
import { IdlmError } from "../../errors.ts";
import { type GrammarRequest, programOf } from "../../grammar/grammar.ts";
import { readOpenAiRequest } from "./request.ts";

const messages = [{ role: "user", content: "hi" }];
const chat = (body: object) => readOpenAiRequest("chat", { messages, ...body }).requests[0];

const tool = {
  type: "function",
  function: { name: "f", description: "d", parameters: { type: "object" }, strict: true },
};
/** The keys of an interface of the client's, which are those of the API's specification. */
function keysOf(file: string, name: string, ...without: readonly string[]): readonly string[] {
  const types = readFileSync(join(import.meta.dirname, "../../../node_modules/openai/resources", file), "utf8");
  const [, body = ""] = new RegExp(`export interface ${name} \\{\\n(.*?)\\n\\}`, "s").exec(types) ?? [];
  const keys = [...body.matchAll(/^ {4}(\w+)\??:/gm)].map(([, key = ""]) => key);
  return keys.filter((key) => !without.includes(key));
}
const named = (name: string) => ({ type: "function", function: { name } });

describe("readOpenAiRequest", () => {
  it("reads a conversation with all settings", () => {
    const body = {
      ...{ model: "m", user: "u", metadata: {}, store: false, stream: false, service_tier: "auto" },
      ...{ max_tokens: 5, max_completion_tokens: 7, temperature: 0.5, top_p: 0.9, n: 2, seed: 3, stop: "x" },
      ...{ presence_penalty: 1, frequency_penalty: 2, logit_bias: { 5: -100 }, logprobs: true, top_logprobs: 4 },
      ...{ prediction: { type: "content", content: [{ type: "text", text: "a" }] }, response_format: { type: "text" } },
      ...{ top_k: 9, min_p: 0.1, repetition_penalty: 1.1, verify: "rejection", stride: 3, priority: 2 },
    };
    expect(chat(body)).toMatchObject({
      ...{ messages, maxTokens: 7, temperature: 0.5, topP: 0.9, n: 2, seed: 3, stop: ["x"], presencePenalty: 1 },
      ...{ frequencyPenalty: 2, logitBias: { 5: -100 }, logprobs: 4, predict: "a", topK: 9, minP: 0.1 },
      ...{ repetitionPenalty: 1.1, verify: "rejection", stride: 3, priority: 2 },
    });
  });

  it("has the API's defaults", () => {
    expect(chat({ stop: null, n: null })).toMatchObject({ temperature: 1, logprobs: undefined, maxTokens: undefined });
    expect(chat({ logprobs: true })?.logprobs).toBe(0);
    expect(readOpenAiRequest("completions", { prompt: "a" }).requests).toMatchObject([
      { prompt: "a", maxTokens: 16, temperature: 1 },
    ]);
    const streamed = readOpenAiRequest("chat", { messages, stream: true, stream_options: { include_usage: true } });
    expect(streamed).toMatchObject({ stream: true, streamsUsage: true });
  });

  it("takes null for absent, in bodies and in messages", () => {
    const keys = keysOf("chat/completions/completions.d.ts", "ChatCompletionCreateParamsBase", "messages");
    expect(keys).toEqual(expect.arrayContaining(["audio", "moderation", "web_search_options"]));
    const nulls = (names: readonly string[]) => Object.fromEntries(names.map((name) => [name, null]));
    expect(readOpenAiRequest("chat", { messages, ...nulls(keys) })).toEqual(readOpenAiRequest("chat", { messages }));
    const message = nulls(["name", "refusal", "audio", "tool_calls", "function_call", "annotations", "tool_call_id"]);
    const asked = { messages: [{ ...messages[0], ...message }] };
    expect(readOpenAiRequest("chat", asked)).toEqual(readOpenAiRequest("chat", { messages }));
    expect(chat({ messages: [{ ...messages[0], name: "ann" }] })?.messages).toEqual([{ ...messages[0], name: "ann" }]);
    const own = keysOf("completions.d.ts", "CompletionCreateParamsBase");
    expect(own).toEqual(expect.arrayContaining(["best_of", "echo", "prompt", "suffix"]));
    expect(readOpenAiRequest("completions", nulls(own))).toEqual(readOpenAiRequest("completions", { prompt: "" }));
  });

  it("names the key of a grammar, and what is wrong in it", () => {
    const schema = { type: "strnig" };
    const fieldOf = (body: object) => {
      const { requests, names } = readOpenAiRequest("chat", { messages, ...body });
      try {
        programOf(requests[0]?.grammar as GrammarRequest, "grammar");
        return "none";
      } catch (error) {
        return error instanceof IdlmError ? error.fieldWith(names ?? {}) : error;
      }
    };
    const described = { name: "a", schema };
    for (const [body, field] of [
      [{ response_format: { type: "json_schema", json_schema: described } }, "response_format.json_schema.schema.type"],
      [{ response_format: { type: "json_object", schema } }, "response_format.schema.type"],
      [{ guided_json: schema }, "guided_json.type"],
      [{ structured_outputs: { json: schema } }, "structured_outputs.json.type"],
      [{ structured_outputs: { regex: "(" } }, "structured_outputs.regex"],
      [{ guided_choice: [] }, "guided_choice"],
      [{ grammar: "root ::= (" }, "grammar"],
    ] as const) {
      expect(fieldOf(body)).toBe(field);
    }
  });

  it("takes extreme values that the API allows", () => {
    expect(chat({ top_p: 0 })?.topP).toBeGreaterThan(0);
    for (const seed of [-1, -(2 ** 63), 2 ** 63, 2 ** 53]) {
      expect(chat({ seed })?.seed).toBeGreaterThanOrEqual(0);
      expect(Number.isSafeInteger(chat({ seed })?.seed)).toBe(true);
    }
    expect(chat({ seed: -1 })?.seed).not.toBe(chat({ seed: -2 })?.seed);
    expect(chat({ temperature: 1e-300, top_k: -1 })).toMatchObject({ temperature: 1e-6, topK: 0 });
    expect(chat({ temperature: 0, idlm: { top_p: 0 } })).toMatchObject({ temperature: 0, topP: 1e-30 });
    for (const max of [2 ** 53, 2 ** 63, 1e300]) {
      expect(chat({ max_tokens: max })?.maxTokens).toBe(Number.MAX_SAFE_INTEGER);
      expect(chat({ max_completion_tokens: max })?.maxTokens).toBe(Number.MAX_SAFE_INTEGER);
    }
    expect(readOpenAiRequest("completions", { prompt: "a", max_tokens: 0 })).toMatchObject({
      isEmpty: true,
      requests: [{ maxTokens: 1 }],
    });
  });

  it("joins the parts of a message and maps the developer role", () => {
    const parts = [
      { role: "developer", content: "be brief" },
      {
        role: "user",
        content: [
          { type: "text", text: "a" },
          { type: "text", text: "b" },
        ],
      },
    ];
    expect(chat({ messages: parts })?.messages).toEqual([
      { role: "system", content: "be brief" },
      { role: "user", content: "ab" },
    ]);
  });

  it("reads what an assistant refused with as its text", () => {
    const read = (message: object) =>
      readOpenAiRequest("chat", { messages: [...messages, { role: "assistant", ...message }] });
    const no = { role: "assistant", content: "no" };
    expect(read({ content: null, refusal: "no" }).requests[0]?.messages).toEqual([...messages, no]);
    expect(read({ content: [{ type: "refusal", refusal: "no" }] }).requests[0]?.messages).toEqual([...messages, no]);
    const both = read({ content: "no", refusal: "never" });
    expect([both.requests[0]?.messages, both.ignored]).toEqual([[...messages, no], ["messages[1].refusal"]]);
  });

  it("lists keys of messages and parts that it does not know, or that have no meaning there", () => {
    const content = [{ type: "text", text: "hi", annotations: [], detail: "high" }];
    const asked = [{ role: "user", content, tool_calls: [], tool_call_id: "a", reasoning: "hm", id: 5 }];
    const { requests, ignored } = readOpenAiRequest("chat", { messages: asked });
    expect(requests[0]?.messages).toEqual(messages);
    const keys = ["tool_calls", "tool_call_id", "reasoning", "id", "content[0].detail"];
    expect(ignored).toEqual(keys.map((key) => `messages[0].${key}`));
  });

  it("reads tools and their choice", () => {
    const read = (more: object) => {
      const { requests, format } = readOpenAiRequest("chat", { messages, tools: [tool], ...more });
      return { format, tools: requests[0]?.tools };
    };
    const { strict, ...definition } = tool.function;
    const schemaPath = "tools[0].function.parameters";
    expect(read({})).toEqual({
      format: { tools: [{ ...tool.function, schemaPath }], toolChoice: "auto", parallel: true, reasoning: true },
      tools: [definition],
    });
    expect(read({ tool_choice: "required", parallel_tool_calls: false }).format).toMatchObject({
      ...{ toolChoice: "required", parallel: false },
    });
    expect(read({ tool_choice: named("f") }).format?.toolChoice).toEqual({ name: "f" });
    const none = { format: { tools: [], toolChoice: "none", parallel: true, reasoning: true }, tools: undefined };
    expect(read({ tool_choice: "none" })).toEqual(none);
    expect(read({ tools: [] })).toEqual(none);
    expect(strict).toBe(true);
  });

  it("takes calls and their results back", () => {
    const call = { id: "c1", type: "function", index: 0, function: { name: "f", arguments: '{"a":1}' } };
    const asked = [
      ...messages,
      { role: "assistant", content: null, reasoning_content: "hm", tool_calls: [call] },
      { role: "tool", tool_call_id: "c1", content: [{ type: "text", text: "5" }] },
      { role: "function", name: "g", content: "6" },
    ];
    expect(chat({ messages: asked })?.messages).toEqual([
      ...messages,
      { role: "assistant", content: "", reasoning: "hm", toolCalls: [{ id: "c1", name: "f", arguments: '{"a":1}' }] },
      { role: "tool", toolCallId: "c1", content: "5", name: "f" },
      { role: "tool", name: "g", content: "6" },
    ]);
  });

  it("hands arguments to the chat template", () => {
    expect(chat({})?.templateArguments).toBeUndefined();
    const effort = { reasoning_effort: "none", chat_template_kwargs: { tool_call_start: "a" } };
    expect(chat(effort)?.templateArguments).toEqual({
      ...{ reasoning_effort: "none", enable_thinking: false, tool_call_start: "a" },
    });
    expect(chat({ reasoning_effort: "high" })?.templateArguments).toMatchObject({ enable_thinking: true });
    expect(chat({ continue_final_message: true })?.continueFinalMessage).toBe(true);
    expect(chat({ add_generation_prompt: false })?.addGenerationPrompt).toBe(false);
    expect(chat({ ignore_eos: true, stop_token_ids: [5] })).toMatchObject({ ignoreEos: true, stopTokens: [5] });
  });

  it("lists unknown keys, wherever they stand", () => {
    const asked = {
      ...{ messages: [{ ...messages[0], nam: "b" }], foo: 1, bar: null, user: "u" },
      ...{ stream_options: { other: 1 }, idlm: { rounds: true, stride: 2, own: 1 }, tools: [{ ...tool, extra: 1 }] },
    };
    const { ignored, rounds, requests } = readOpenAiRequest("chat", asked);
    expect([...ignored].sort()).toEqual([
      "foo",
      "idlm.own",
      "messages[0].nam",
      "stream_options.other",
      "tools[0].extra",
    ]);
    expect([rounds, requests[0]?.stride, requests[0]?.rounds]).toEqual([true, 2, true]);
  });

  it("reads what constrains the text, in the form of any server", () => {
    const schema = { type: "object" };
    const format = (value: object) => ({ response_format: value });
    const cases: readonly (readonly [object, unknown, string?])[] = [
      [format({ type: "text" }), undefined],
      [format({ type: "json_object" }), { kind: "json" }, "response_format"],
      [
        format({ type: "json_schema", json_schema: { name: "n", strict: true, schema } }),
        { kind: "schema", schema },
        "response_format.json_schema",
      ],
      [format({ type: "json_object", schema }), { kind: "schema", schema }],
      [{ structured_outputs: { json: JSON.stringify(schema) } }, { kind: "schema", schema }],
      [{ structured_outputs: { choice: ["a", "b"] } }, { kind: "choice", choices: ["a", "b"] }],
      [{ structured_outputs: { json_object: true } }, { kind: "json" }],
      [{ guided_regex: "a+" }, { kind: "regex", pattern: "a+" }, "guided_regex"],
      [
        { grammar: 'root ::= "a"', json_schema: null },
        { kind: "ebnf", grammar: 'root ::= "a"' },
      ],
      [
        { json_schema: schema, grammar: "" },
        { kind: "schema", schema },
      ],
    ];
    for (const [asked, grammar, name] of cases) {
      for (const endpoint of ["chat", "completions"] as const) {
        const prompt = endpoint === "chat" ? { messages } : { prompt: "a" };
        const { requests, names } = readOpenAiRequest(endpoint, { ...prompt, ...asked });
        expect(requests[0]?.grammar).toEqual(grammar);
        if (name !== undefined) expect(names.grammar).toBe(name);
      }
    }
  });

  it("accepts prompts as strings, as ids, and lists of them", () => {
    const prompts = (prompt: unknown) => readOpenAiRequest("completions", { prompt, logprobs: 2 }).requests;
    expect(prompts([1, 2])).toMatchObject([{ ids: [1, 2], logprobs: 2 }]);
    expect(prompts(["a", "b"])).toMatchObject([{ prompt: "a" }, { prompt: "b" }]);
    expect(prompts([[1], [2, 3]])).toMatchObject([{ ids: [1] }, { ids: [2, 3] }]);
  });

  it.each([
    ["chat", [], /the body must be an object/],
    ["chat", {}, /^messages: expected an array of messages, found nothing/],
    ["chat", { messages: [{ role: "user" }] }, /^messages\[0\].content: expected a string, found nothing/],
    [
      "chat",
      { messages: [{ role: "user", content: [{ type: "image_url" }] }] },
      /^messages\[0\].content\[0\].type: expected text, found "image_url"/,
    ],
    ["chat", { messages: [{ role: "user", content: "a", name: 5 }] }, /^messages\[0\].name: expected a string/],
    ["chat", { messages, audio: { voice: "x" } }, /^audio: not supported/],
    ["chat", { messages, top_logprobs: 2 }, /requires logprobs/],
    ["chat", { messages, logprobs: true, top_logprobs: 21 }, /expected a whole number from 0 to 20, found 21/],
    ["chat", { messages, tools: [{}] }, /^tools\[0\].function: expected an object/],
    ["chat", { messages, tools: [{ ...tool, type: "web_search" }] }, /^tools\[0\].type: expected "function"/],
    ["chat", { messages, tools: [tool, tool] }, /^tools: two tools have the same name/],
    ["chat", { messages, tool_choice: "required" }, /^tool_choice: required without tools/],
    ["chat", { messages, tools: [tool], tool_choice: "f" }, /^tool_choice: expected auto, none, required/],
    ["chat", { messages, tools: [tool], tool_choice: named("g") }, /^tool_choice.function.name: expected the name/],
    ["chat", { messages: [{ role: "assistant", tool_calls: [{}] }] }, /^messages\[0\].tool_calls\[0\].function/],
    ["chat", { messages, min_tokens: 4 }, /^min_tokens: not supported, found 4/],
    ["chat", { messages, chat_template: "{{ 1 }}" }, /^chat_template: not supported/],
    ["chat", { messages, chat_template_kwargs: [] }, /^chat_template_kwargs: expected an object/],
    ["chat", { messages, idlm: { rounds: "yes" } }, /^idlm.rounds: expected true or false/],
    ["chat", { messages, echo: true }, /^echo: not supported/],
    ["completions", { prompt: "a", suffix: "b" }, /^suffix: not supported/],
    ["chat", { messages, response_format: { type: "xml" } }, /^response_format.type: expected text, json_object/],
    [
      "chat",
      { messages, response_format: { type: "json_schema", json_schema: {} } },
      /json_schema.schema: expected a JSON/,
    ],
    [
      "chat",
      { messages, guided_regex: "a+", grammar: "root ::= x" },
      /^guided_regex: grammar constrains the text, too/,
    ],
    ["chat", { messages, guided_json: "{" }, /^guided_json: expected a JSON schema, found text that is not JSON/],
    ["chat", { messages, structured_outputs: { structural_tag: "a" } }, /^structured_outputs.structural_tag: not supp/],
    ["chat", { messages, temperature: "1" }, /temperature: expected a number/],
    ["chat", { messages: [{ role: "robot", content: "a" }] }, /^messages\[0\].role: expected one of system/],
    ["chat", { messages: [...messages, "a"] }, /^messages\[1\]: expected an object/],
    ["chat", { messages, propose: "guess" }, /^propose: expected none, .* or auto, found "guess"/],
    [
      "chat",
      { messages, prediction: { type: "content", content: [1] } },
      /^prediction.content\[0\]: expected an object/,
    ],
    ["chat", { messages, seed: 2 ** 64 }, /^seed: expected a whole number of 64 bits, found 18446744073709552000/],
    ["chat", { messages, seed: 0.5 }, /^seed: expected a whole number of 64 bits/],
    ["chat", { messages, top_p: 1.5 }, /^top_p: expected a number from 0 to 1, found 1.5/],
    ["chat", { messages, max_tokens: 1e300, n: [] }, /^n: expected a number, found an array/],
    ["chat", { messages: [{ role: "user", content: [{}] }] }, /content\[0\].type: expected text, found nothing/],
    ["chat", { messages, stream: 1 }, /stream: expected true or false/],
    ["chat", { messages, prediction: { type: "x" } }, /prediction.type/],
    ["completions", { prompt: "a", echo: 1 }, /^echo: expected true or false/],
    ["completions", { prompt: "a", best_of: 3, n: 4 }, /^best_of: 3 is below n, which is 4/],
    ["completions", { prompt: "a", best_of: 3, stream: true }, /^best_of: cannot be streamed/],
    ["completions", { prompt: "a", best_of: 1.5 }, /^best_of: expected a whole number/],
    ["completions", { prompt: [] }, /prompt: expected/],
    ["completions", { prompt: ["a", 1] }, /^prompt\[1\]: expected a string or/],
  ] as const)("refuses %s %j", (endpoint, body, message) => {
    expect(() => readOpenAiRequest(endpoint, body)).toThrow(message);
  });

  it("takes or refuses any body, and never fails otherwise", async () => {
    const { engine } = fakeEngine();
    const keys = [
      ...[
        "messages",
        "prompt",
        "tools",
        "tool_choice",
        "response_format",
        "structured_outputs",
        "grammar",
        "idlm",
        "n",
      ],
      ...[
        "stream_options",
        "prediction",
        "logprobs",
        "top_logprobs",
        "logit_bias",
        "stop",
        "seed",
        "max_tokens",
        "best_of",
      ],
      ...["echo", "chat_template_kwargs", "reasoning_effort", "temperature", "guided_choice", "parallel_tool_calls"],
    ];
    const part = fc.constantFrom(
      "type",
      "function",
      "text",
      "content",
      "role",
      "user",
      "assistant",
      "json_schema",
      "f",
    );
    const value = fc.letrec<{ value: unknown }>((tie) => ({
      value: fc.oneof(
        ...[
          fc.constantFrom<unknown>(null, true, false, 0, 1, -1, 2 ** 53, 0.5, "", "a", "\ud800", "auto", "none"),
          part,
        ],
        fc.array(tie("value"), { maxLength: 3 }),
        fc.dictionary(fc.oneof(part, fc.constantFrom("name", "parameters", "tool_calls", "schema")), tie("value"), {
          maxKeys: 3,
        }),
      ),
    })).value;
    const wild = fc.array(fc.record({ role: part, content: value, tool_calls: value }, { requiredKeys: ["role"] }));
    const extra = fc.dictionary(fc.constantFrom(...keys), value, { maxKeys: 2 });
    const bodies = fc
      .tuple(extra, fc.option(wild), fc.constantFrom("chat", "completions"))
      .map(([body, wild, endpoint]) => {
        const prompt = endpoint === "chat" ? { messages: wild ?? messages } : { prompt: "ab" };
        return { endpoint, body: { ...prompt, ...body } } as const;
      });
    let nTaken = 0;
    fc.assert(
      fc.property(bodies, ({ body, endpoint }) => {
        try {
          const { requests } = readOpenAiRequest(endpoint, body);
          for (const request of requests) engine.generate({ ...request, signal: AbortSignal.abort() });
          nTaken++;
        } catch (error) {
          expect(error).toBeInstanceOf(IdlmError);
          expect((error as IdlmError).httpStatus).toBe(400);
        }
      }),
      { numRuns: 3000 },
    );
    expect(nTaken).toBeGreaterThan(100);
    await engine.dispose();
  });

  it("reports the field that is invalid", () => {
    const fieldOf = (body: object) => {
      try {
        readOpenAiRequest("chat", body);
        return "none";
      } catch (error) {
        return error instanceof IdlmError ? error.fieldWith({}) : error;
      }
    };
    expect(fieldOf({ messages: [...messages, { role: "user", content: 5 }] })).toBe("messages[1].content");
    expect(fieldOf({ messages, stream_options: { include_usage: 1 } })).toBe("stream_options.include_usage");
    expect(fieldOf([])).toBeUndefined();
  });
});
