import { describe, expect, it } from "vitest";
import { ChatTemplate } from "../../tokenizer/index.ts";
import { templateMessage, templateTool } from "./template-values.ts";

describe("templateMessage", () => {
  it("has the names that templates expect, and arguments as objects", () => {
    const calls = [
      { id: "1", name: "f", arguments: { a: 1 } },
      { name: "g", arguments: '{"b": [2]}' },
      { name: "h", arguments: "{broken" },
      { name: "i", arguments: "5" },
    ];
    expect(templateMessage({ role: "assistant", content: "", reasoning: "r", toolCalls: calls })).toEqual({
      ...{ role: "assistant", content: "", reasoning_content: "r" },
      tool_calls: [
        { id: "1", type: "function", function: { name: "f", arguments: { a: 1 } } },
        { type: "function", function: { name: "g", arguments: { b: [2] } } },
        { type: "function", function: { name: "h", arguments: "{broken" } },
        { type: "function", function: { name: "i", arguments: "5" } },
      ],
    });
    const result = { role: "tool", content: "5", name: "f", toolCallId: "1" } as const;
    expect(templateMessage(result)).toEqual({ role: "tool", content: "5", name: "f", tool_call_id: "1" });
    expect(templateMessage({ role: "user", content: "a" })).toEqual({ role: "user", content: "a" });
  });

  it("keeps numbers of JSON texts as they are", async () => {
    const json =
      '{"a": 1.0, "b": [1e2, -0.0, 12345678901234567890, 1.5, 2], "n1.0": "n1.0 \\"s", "__proto__": {"s": 3.0}}';
    const message = templateMessage({ role: "assistant", content: "<x>", toolCalls: [{ name: "f", arguments: json }] });
    const template = new ChatTemplate("{{ messages[0].tool_calls[0].function.arguments }}", "made");
    const shown = `{'a': 1.0, 'b': [100.0, -0.0, 12345678901234567890, 1.5, 2], 'n1.0': 'n1.0 "s', '__proto__': {'s': 3.0}}`;
    expect(await template.render({ messages: [message] })).toBe(shown);
    expect(JSON.stringify(message)).toContain('"a":1,"b":[100,0,12345678901234567000,1.5,2]');
  });

  it("keeps the order of keys", () => {
    const message = templateMessage({ content: "a", toolCalls: [], role: "assistant", name: "n" });
    expect(JSON.stringify(message)).toBe('{"content":"a","tool_calls":[],"role":"assistant","name":"n"}');
  });
});

describe("templateTool", () => {
  it("is a function as in the OpenAI API", () => {
    expect(templateTool({ name: "f" })).toEqual({ type: "function", function: { name: "f" } });
    const described = { name: "f", description: "d", parameters: { type: "object" } };
    expect(templateTool(described)).toEqual({ type: "function", function: described });
  });
});
