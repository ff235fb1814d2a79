import { type ToolFormat, toolFormats } from "../../grammar/tool-calls.ts";
import type { TemplateMessage } from "../../tokenizer/index.ts";

/** Whether a chat template describes tools to the model. */
export function knowsTools(template: string): boolean {
  return /\btools\b/.test(template);
}

/** How a model with this chat template writes calls of tools. */
export function toolFormatOf(template: string | undefined): ToolFormat {
  if (template === undefined || template.includes("<tool_call>") || !knowsTools(template)) return "hermes";
  return /python_tag|ipython|["']parameters["']/.test(template) ? "llama" : "hermes";
}

/** As Qwen 2.5 describes tools. */
const BEFORE = `# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>`;
const AFTER = `</tools>

For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:
<tool_call>
{"name": <function-name>, "arguments": <args-json-object>}
</tool_call>`;

/** Messages for a template that knows no tools: tools in the system message, calls and results as text, as Hermes has them. */
export function withToolText(
  messages: readonly TemplateMessage[],
  tools: readonly unknown[],
): readonly TemplateMessage[] {
  const plain = messages.map(plainMessage);
  if (tools.length === 0) return plain;
  const description = [BEFORE, ...tools.map((tool) => JSON.stringify(tool)), AFTER].join("\n");
  const [first, ...rest] = plain;
  if (first?.role !== "system") return [{ role: "system", content: description }, ...plain];
  return [{ ...first, content: `${String(first.content)}\n\n${description}` }, ...rest];
}

function plainMessage(message: TemplateMessage): TemplateMessage {
  const { role, content, tool_calls: calls } = message;
  if (role === "tool") return { role: "user", content: `<tool_response>\n${String(content)}\n</tool_response>` };
  if (!Array.isArray(calls) || calls.length === 0) return message;
  const { tool_calls: _, ...rest } = message;
  return { ...rest, content: [...(content === "" ? [] : [content]), ...calls.map(callText)].join("\n") };
}

function callText(call: unknown): string {
  const called = (call as { readonly function?: { readonly name?: unknown; readonly arguments?: unknown } }).function;
  const { begin, end } = toolFormats.hermes;
  const given = called?.arguments ?? {};
  const text = typeof given === "string" ? given : JSON.stringify(given);
  return `${begin}{"name": ${JSON.stringify(called?.name)}, "arguments": ${text}}${end}`;
}
