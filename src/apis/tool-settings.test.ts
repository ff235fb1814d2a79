import { describe, expect, it } from "vitest";
import { readMessagesRequest } from "./anthropic/request.ts";
import { readOpenAiRequest } from "./openai/request.ts";

const messages = [{ role: "user", content: "a" }];
const enforced = { properties: { city: { type: "string" } } };
const notEnforced = { properties: { city: { not: { const: "Oslo" } } } };
const tool = (name: string, parameters: object, strict?: boolean) => ({
  ...{ type: "function", function: { name, parameters, strict } },
});
const tools = [tool("a", enforced), tool("b", notEnforced)];
const ignored = (more: object) => readOpenAiRequest("chat", { messages, tools, ...more }).ignored;
const SECOND = "tools[1].function.parameters";

describe("schemas of tools that cannot be enforced", () => {
  it("are named where calls are limited by schemas", () => {
    expect(ignored({ tool_choice: "required" })).toEqual([SECOND]);
    expect(ignored({ tool_choice: { type: "function", function: { name: "b" } } })).toEqual([SECOND]);
    expect(ignored({ response_format: { type: "json_object" } })).toEqual([SECOND]);
    expect(ignored({ tools: [tool("a", enforced, true), tools[1]] })).toEqual([SECOND]);
    const anthropic = { max_tokens: 1, messages, tools: [{ name: "b", input_schema: notEnforced }] };
    expect(readMessagesRequest({ ...anthropic, tool_choice: { type: "any" } }).answer.ignored).toEqual([
      "tools[0].input_schema",
    ]);
  });

  it("are not where nothing limits calls, another tool is called, or the tool is strict, which is refused", () => {
    for (const more of [{}, { tool_choice: "none" }, { tool_choice: { type: "function", function: { name: "a" } } }]) {
      expect(ignored(more)).toEqual([]);
    }
    expect(ignored({ tools: [tool("b", notEnforced, true)], tool_choice: "required" })).toEqual([]);
  });

  it("are looked at up to a number of characters", () => {
    const large = tool("a", { ...enforced, description: "x".repeat(50_000) });
    expect(ignored({ tools: [large, tools[1]], tool_choice: "required" })).toEqual([]);
  });

  it("have no place in what templates see", () => {
    const { requests } = readOpenAiRequest("chat", { messages, tools });
    expect(requests[0]?.tools).toEqual([
      { name: "a", parameters: enforced, description: undefined },
      { name: "b", parameters: notEnforced, description: undefined },
    ]);
  });
});
