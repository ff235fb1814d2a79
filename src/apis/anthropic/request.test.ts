import { describe, expect, it } from "vitest";
import { invalidField } from "../../../test/support/invalid-field.ts";
import { IdlmError } from "../../errors.ts";
import { anthropicError } from "./error.ts";
import { readMessagesRequest } from "./request.ts";

const messages = [{ role: "user", content: "hi" }];
const tools = [{ name: "add", description: "adds", input_schema: { type: "object" }, strict: true }];
const read = (body: object, countsOnly = false) =>
  readMessagesRequest({ model: "m", max_tokens: 8, messages, ...body }, countsOnly);
const requestOf = (body: object) => read(body).answer.requests[0];

const failed = (body: object) => invalidField(() => read(body));

describe("readMessagesRequest", () => {
  it("reads all settings", () => {
    const body = {
      ...{ stream: true, temperature: 0.5, top_p: 0.9, top_k: 5, stop_sequences: ["END"], metadata: { user_id: "u" } },
      ...{
        service_tier: "auto",
        system: [
          { type: "text", text: "Be ", cache_control: {} },
          { type: "text", text: "brief." },
        ],
      },
      ...{
        tools,
        tool_choice: { type: "any", disable_parallel_tool_use: true },
        thinking: { type: "disabled" },
        chat_template_kwargs: { a: 1 },
      },
      ...{ propose: "none", idlm: { priority: 3, rounds: true, min_p: 0.1 } },
    };
    const { answer, model, stream } = read(body);
    expect([model, stream, answer.rounds, answer.ignored]).toEqual(["m", true, true, []]);
    expect(answer.requests).toMatchObject([
      {
        messages: [{ role: "system", content: "Be brief." }, messages[0]],
        ...{
          maxTokens: 8,
          temperature: 0.5,
          topP: 0.9,
          topK: 5,
          minP: 0.1,
          stop: ["END"],
          propose: "none",
          priority: 3,
        },
        templateArguments: { enable_thinking: false, a: 1 },
      },
    ]);
    expect(answer.format).toEqual({
      tools: [
        {
          name: "add",
          description: "adds",
          parameters: { type: "object" },
          strict: true,
          schemaPath: "tools[0].input_schema",
        },
      ],
      ...{ toolChoice: "required", parallel: false, reasoning: true },
    });
  });

  it("has the defaults of the command line and temperature 1; null is absence", () => {
    const nulls = Object.fromEntries(
      ["system", "temperature", "top_p", "top_k", "stop_sequences", "tools", "tool_choice", "thinking"].map((key) => [
        key,
        null,
      ]),
    );
    expect(requestOf(nulls)).toEqual(requestOf({}));
    expect(requestOf({})).toMatchObject({ temperature: 1, seed: undefined });
    expect(read({ unknown: 1, idlm: { other: 2 }, foo: null }).answer.ignored).toEqual(["unknown", "idlm.other"]);
    const block = { type: "text", text: "hi", cache_control: {}, x: 1 };
    const nested = read({ messages: [{ role: "user", content: [block], y: 1 }], tools: [{ ...tools[0], z: 1 }] });
    expect(nested.answer.ignored).toEqual(["tools[0].z", "messages[0].y", "messages[0].content[0].x"]);
    const system = read({ messages: [{ role: "system", content: [block] }, ...messages] });
    expect(system.answer.ignored).toEqual(["messages[0].content[0].x"]);
  });

  it("reads a conversation with tools", () => {
    const conversation = [
      {
        role: "user",
        content: [
          { type: "text", text: "What " },
          { type: "text", text: "now?" },
        ],
      },
      {
        role: "assistant",
        content: [
          { type: "thinking", thinking: "hm", signature: "" },
          { type: "text", text: "I look." },
          { type: "tool_use", id: "t1", name: "add", input: { a: 1 } },
        ],
      },
      {
        role: "user",
        content: [
          { type: "tool_result", tool_use_id: "t1", content: [{ type: "text", text: "2" }], is_error: false },
          { type: "text", text: "And?" },
        ],
      },
    ];
    expect(requestOf({ messages: conversation })?.messages).toEqual([
      { role: "user", content: "What now?" },
      {
        ...{ role: "assistant", content: "I look.", reasoning: "hm" },
        toolCalls: [{ id: "t1", name: "add", arguments: '{"a":1}' }],
      },
      { role: "tool", content: "2", toolCallId: "t1" },
      { role: "user", content: "And?" },
    ]);
  });

  it("reads a schema for the output", () => {
    const schema = { type: "object" };
    const grammar = { kind: "schema", schema };
    expect(requestOf({ output_config: { format: { type: "json_schema", schema } } })?.grammar).toEqual(grammar);
    expect(requestOf({ output_format: { type: "json_schema", schema } })?.grammar).toEqual(grammar);
    expect(requestOf({})?.grammar).toBeUndefined();
  });

  it("continues a last message of the assistant", () => {
    const started = [...messages, { role: "assistant", content: "So" }];
    expect(requestOf({ messages: started })).toMatchObject({ messages: started, continueFinalMessage: true });
    expect(requestOf({})).not.toHaveProperty("continueFinalMessage");
  });

  it.each([
    [{ max_tokens: undefined }, "max_tokens"],
    [{ messages: undefined }, "messages"],
    [{ messages: [] }, "messages"],
    [
      {
        messages: [
          ...messages,
          { role: "assistant", content: [{ type: "tool_use", id: "t", name: "add", input: {} }] },
        ],
      },
      "messages[1].content",
    ],
    [{ messages: [{ role: "tool", content: "a" }] }, "messages[0].role"],
    [{ messages: [{ role: "user", content: [{ type: "image", source: {} }] }] }, "messages[0].content[0].type"],
    [{ messages: [{ role: "user", content: [{ type: "text" }] }] }, "messages[0].content[0].text"],
    [{ tools: [{ type: "bash_20250124", name: "bash" }] }, "tools[0].type"],
    [{ tools: [{ name: "a" }] }, "tools[0].input_schema"],
    [{ tools, tool_choice: { type: "tool", name: "b" } }, "tool_choice.name"],
    [{ tool_choice: { type: "any" } }, "tool_choice"],
    [{ container: "c" }, "container"],
    [{ thinking: { type: "odd" } }, "thinking.type"],
    [{ guided_json: {} }, "guided_json"],
    [{ min_tokens: 5 }, "min_tokens"],
    [{ temperature: "hot" }, "temperature"],
  ])("names the key that is wrong: %j", (body, path) => {
    expect(failed(body)).toBe(path);
  });

  it("needs no max_tokens to count", () => {
    expect(read({ max_tokens: undefined }, true).answer.requests[0]?.maxTokens).toBeUndefined();
  });
});

describe("anthropicError", () => {
  it("has the API's form", () => {
    const error = new IdlmError("context-too-long", { nTokens: 9, context: 8, hint: "" });
    expect(anthropicError(error, {}, "7")).toMatchObject({
      status: 400,
      body: { type: "error", error: { type: "invalid_request_error" }, request_id: "7" },
    });
    expect(anthropicError(new IdlmError("queue-full", { max: 1 }), {}, "7")).toMatchObject({
      status: 429,
      body: { error: { type: "rate_limit_error" } },
    });
  });

  it("hides what only the operator may know", () => {
    expect(JSON.stringify(anthropicError(new Error("/secret"), {}, "7"))).not.toContain("secret");
  });
});
