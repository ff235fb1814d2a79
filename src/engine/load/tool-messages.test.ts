import { describe, expect, it } from "vitest";
import { knowsTools, toolFormatOf, withToolText } from "./tool-messages.ts";

const plainTemplate = "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}{% endfor %}";
const tool = { type: "function", function: { name: "now", parameters: { type: "object" } } };

describe("tools in chat templates", () => {
  it("have the format that the template's text shows", () => {
    expect(knowsTools(plainTemplate)).toBe(false);
    expect(toolFormatOf(undefined)).toBe("hermes");
    expect(toolFormatOf(plainTemplate)).toBe("hermes");
    expect(toolFormatOf('{% if tools %}<tool_call>{"name": …}{% endif %}')).toBe("hermes");
    expect(
      toolFormatOf('{% if tools %}{"name": function name, "parameters": dictionary}<|python_tag|>{% endif %}'),
    ).toBe("llama");
  });

  it("are described in a system message where the template knows none", () => {
    const [system, user] = withToolText([{ role: "user", content: "hi" }], [tool]);
    expect(system).toMatchObject({ role: "system" });
    expect(system?.content).toContain(`<tools>\n${JSON.stringify(tool)}\n</tools>`);
    expect(user).toEqual({ role: "user", content: "hi" });
    const [own] = withToolText([{ role: "system", content: "Be brief." }], [tool]);
    expect(own?.content).toMatch(/^Be brief\.\n\n# Tools\n/);
  });

  it("and calls and their results become text", () => {
    const calls = [{ type: "function", function: { name: "now", arguments: { zone: "UTC" } } }];
    expect(
      withToolText(
        [
          { role: "assistant", content: "I look.", tool_calls: calls },
          { role: "tool", content: "12:00", name: "now" },
        ],
        [],
      ),
    ).toEqual([
      {
        role: "assistant",
        content: 'I look.\n<tool_call>\n{"name": "now", "arguments": {"zone":"UTC"}}\n</tool_call>',
      },
      { role: "user", content: "<tool_response>\n12:00\n</tool_response>" },
    ]);
  });
});
