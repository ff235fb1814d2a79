import { parseExactJson, type TemplateMessage } from "../../tokenizer/index.ts";
import type { ChatMessage, ToolCallMessage, ToolDefinition } from "../types.ts";

const templateNames: ReadonlyMap<string, string> = new Map([
  ["reasoning", "reasoning_content"],
  ["toolCalls", "tool_calls"],
  ["toolCallId", "tool_call_id"],
]);

/**
 * A message as chat templates expect it, which is how transformers passes it. Keys keep their order, which shows where a
 * template prints the message.
 */
export function templateMessage(message: ChatMessage): TemplateMessage {
  const { role, toolCalls } = message;
  const calls = toolCalls === undefined ? {} : { toolCalls: toolCalls.map(templateCall) };
  const entries = Object.entries({ ...message, ...calls })
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => [templateNames.get(key) ?? key, value] as const);
  return Object.assign(Object.fromEntries(entries), { role });
}

export function templateTool({ name, description, parameters }: ToolDefinition) {
  const described = description === undefined ? { name } : { name, description };
  return { type: "function", function: parameters === undefined ? described : { ...described, parameters } };
}

function templateCall({ id, name, arguments: given }: ToolCallMessage) {
  const call = { type: "function", function: { name, arguments: typeof given === "string" ? parsed(given) : given } };
  return id === undefined ? call : { id, ...call };
}

/** Templates print arguments as JSON, so a text would be printed in quotes. A model may have written anything. */
function parsed(json: string): unknown {
  try {
    const value = parseExactJson(json);
    return typeof value === "object" && value !== null ? value : json;
  } catch {
    return json;
  }
}
