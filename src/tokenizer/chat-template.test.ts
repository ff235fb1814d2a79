import { describe, expect, it } from "vitest";
import { ChatTemplate, type TemplateMessage } from "./chat-template.ts";

const shown = (message: TemplateMessage) =>
  new ChatTemplate("{{ messages[0] }}", "made").render({ messages: [message] });

describe("a message as transformers passes it to a template", () => {
  it("keeps the order of keys, and leaves out what is null", async () => {
    const message = { content: "a", tool_calls: null, name: undefined, role: "user", x: [null] };
    expect(await shown(message)).toBe("{'content': 'a', 'role': 'user', 'x': [None]}");
  });

  it("has reasoning under the names that templates know", async () => {
    expect(await shown({ role: "assistant", content: "a", reasoning: "r" })).toBe(
      "{'thinking': 'r', 'role': 'assistant', 'content': 'a', 'reasoning': 'r', 'reasoning_content': 'r'}",
    );
    expect(await shown({ role: "assistant", reasoning_content: "r", content: "a", thinking: "t" })).toBe(
      "{'thinking': 't', 'role': 'assistant', 'reasoning_content': 'r', 'content': 'a'}",
    );
    expect(await shown({ role: "assistant", reasoning_content: null, thinking: "t" })).toBe(
      "{'thinking': 't', 'role': 'assistant', 'reasoning_content': 't'}",
    );
  });
});
