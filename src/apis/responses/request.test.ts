import { describe, expect, it } from "vitest";
import { invalidField } from "../../../test/support/invalid-field.ts";
import type { ChatMessage } from "../../engine/types.ts";
import { readResponsesRequest } from "./request.ts";

const earlier: readonly ChatMessage[] = [
  { role: "user", content: "a" },
  { role: "assistant", content: "b" },
];
const stored = {
  conversation: (id: string) => (id === "resp_1" ? earlier : undefined),
  item: (id: string) =>
    id === "fc_1" ? { type: "function_call", id, call_id: "c1", name: "add", arguments: "{}" } : undefined,
};
const read = (body: object) => readResponsesRequest({ model: "m", input: "hi", ...body }, stored);
const requestOf = (body: object) => read(body).answer.requests[0];
const tools = [{ type: "function", name: "add", parameters: { type: "object" }, strict: true }];

const failed = (body: object) => invalidField(() => read(body));

describe("readResponsesRequest", () => {
  it("reads all settings", () => {
    const body = {
      ...{ stream: true, store: false, instructions: "Be brief.", max_output_tokens: 5, temperature: 0.5, top_p: 0.9 },
      ...{
        tools,
        tool_choice: { type: "function", name: "add" },
        parallel_tool_calls: false,
        user: "u",
        metadata: { a: "b" },
      },
      ...{
        reasoning: { effort: "low" },
        top_logprobs: 2,
        include: ["message.output_text.logprobs"],
        truncation: "auto",
      },
      ...{ text: { format: { type: "text" } } },
      idlm: { rounds: true, propose: "none" },
    };
    const { answer, model, stream, store, echo } = read(body);
    expect([model, stream, store, answer.rounds, answer.ignored]).toEqual(["m", true, false, true, []]);
    expect(answer.requests).toMatchObject([
      {
        messages: [
          { role: "system", content: "Be brief." },
          { role: "user", content: "hi" },
        ],
        ...{ maxTokens: 5, temperature: 0.5, topP: 0.9, logprobs: 2, propose: "none" },
        templateArguments: { reasoning_effort: "low", enable_thinking: true },
      },
    ]);
    expect(answer.format).toMatchObject({ toolChoice: { name: "add" }, parallel: false, reasoning: true });
    expect(echo).toMatchObject({
      instructions: "Be brief.",
      tools,
      metadata: { a: "b" },
      store: false,
      temperature: 0.5,
    });
  });

  it("continues a stored response, without its instructions", () => {
    expect(requestOf({ previous_response_id: "resp_1", instructions: "New." })?.messages).toEqual([
      { role: "system", content: "New." },
      ...earlier,
      { role: "user", content: "hi" },
    ]);
    expect(failed({ previous_response_id: "resp_2" })).toBe("previous_response_id");
  });

  it("joins the items of a turn", () => {
    const input = [
      { role: "developer", content: "Add." },
      { role: "user", content: [{ type: "input_text", text: "1 + 1" }] },
      { type: "reasoning", id: "rs_1", summary: [], content: [{ type: "reasoning_text", text: "hm" }] },
      { type: "message", role: "assistant", content: [{ type: "output_text", text: "I add." }] },
      { type: "function_call", call_id: "c1", name: "add", arguments: "{}" },
      { type: "function_call", call_id: "c2", name: "add", arguments: "{}" },
      { type: "function_call_output", call_id: "c1", output: "2" },
      { type: "function_call_output", call_id: "c2", output: [{ type: "input_text", text: "3" }] },
    ];
    const calls = [
      { id: "c1", name: "add", arguments: "{}" },
      { id: "c2", name: "add", arguments: "{}" },
    ];
    expect(requestOf({ input })?.messages).toEqual([
      { role: "system", content: "Add." },
      { role: "user", content: "1 + 1" },
      { role: "assistant", content: "I add.", reasoning: "hm", toolCalls: calls },
      { role: "tool", content: "2", toolCallId: "c1" },
      { role: "tool", content: "3", toolCallId: "c2" },
    ]);
  });

  it("finds items that are referred to", () => {
    const result = { type: "function_call_output", call_id: "c1", output: "2" };
    for (const reference of [{ type: "item_reference", id: "fc_1" }, { id: "fc_1" }]) {
      expect(requestOf({ input: [reference, result] })?.messages).toEqual([
        { role: "assistant", content: "", toolCalls: [{ id: "c1", name: "add", arguments: "{}" }] },
        { role: "tool", content: "2", toolCallId: "c1" },
      ]);
    }
    expect(failed({ input: [{ type: "item_reference", id: "fc_2" }] })).toBe("input[0].id");
  });

  it("keeps two answers in a row apart", () => {
    const input = ["a", "b"].map((content) => ({ role: "assistant", content }));
    expect(requestOf({ input })?.messages).toEqual(input);
  });

  it("reads what the text has to be", () => {
    const grammarOf = (format: object) => requestOf({ text: { format } })?.grammar;
    const schema = { type: "object" };
    expect(grammarOf({ type: "json_schema", name: "x", schema, strict: true })).toEqual({ kind: "schema", schema });
    expect(grammarOf({ type: "json_object" })).toEqual({ kind: "json" });
    expect(grammarOf({ type: "text" })).toBeUndefined();
  });

  it("leaves out tools that are not allowed", () => {
    const more = [...tools, { type: "function", name: "sub" }];
    const tool_choice = { type: "allowed_tools", mode: "required", tools: [{ type: "function", name: "sub" }] };
    const { format } = read({ tools: more, tool_choice }).answer;
    expect([format?.toolChoice, format?.tools.map(({ name }) => name)]).toEqual(["required", ["sub"]]);
  });

  it("takes null for absent, and lists unknown keys", () => {
    const keys = [
      "instructions",
      "previous_response_id",
      "temperature",
      "tools",
      "text",
      "reasoning",
      "stream",
      "store",
      "include",
    ];
    const nulls = Object.fromEntries(keys.map((key) => [key, null]));
    expect(read(nulls)).toEqual(read({}));
    expect(read({ foo: 1, bar: null }).answer.ignored).toEqual(["foo"]);
    const input = [
      { type: "message", role: "user", content: [{ type: "input_text", text: "hi", x: 1 }], y: 1, status: null },
      { type: "reasoning", id: "r", summary: [], content: [{ type: "reasoning_text", text: "hm" }] },
    ];
    const nested = read({ input, text: { z: 1, format: { type: "text" } }, tools: [{ ...tools[0], w: 1 }] });
    expect(nested.answer.ignored).toEqual(["tools[0].w", "input[0].y", "input[0].content[0].x", "text.z"]);
    expect(read({ text: { verbosity: "low" } }).answer.ignored).toEqual(["text.verbosity"]);
  });

  it.each([
    [{ input: undefined }, "input"],
    [{ input: 5 }, "input"],
    [{ input: [{ type: "computer_call" }] }, "input[0].type"],
    [{ input: [{ role: "user", content: [{ type: "input_image" }] }] }, "input[0].content[0].type"],
    [{ tools: [{ type: "web_search" }] }, "tools[0].type"],
    [{ tool_choice: "required" }, "tool_choice"],
    [{ tools, tool_choice: { type: "function", name: "b" } }, "tool_choice.name"],
    [{ background: true }, "background"],
    [{ response_format: { type: "json_object" } }, "response_format"],
    [{ conversation: "c" }, "conversation"],
    [{ text: { format: { type: "json_schema" } } }, "text.format.schema"],
    [{ top_logprobs: 21 }, "top_logprobs"],
  ])("names the key that is wrong: %j", (body, path) => {
    expect(failed(body)).toBe(path);
  });
});
