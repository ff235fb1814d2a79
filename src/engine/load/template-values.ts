import type { TemplateMessage } from "../../tokenizer/index.ts";
import type { ChatMessage, ToolCallMessage, ToolDefinition } from "../types.ts";

/** A message as chat templates expect it, which is how transformers passes it. */
export function templateMessage({
  role,
  content,
  name,
  reasoning,
  toolCalls,
  toolCallId,
}: ChatMessage): TemplateMessage {
  return {
    ...{ role, content },
    ...(name !== undefined && { name }),
    ...(reasoning !== undefined && { reasoning_content: reasoning }),
    ...(toolCalls !== undefined && { tool_calls: toolCalls.map(templateCall) }),
    ...(toolCallId !== undefined && { tool_call_id: toolCallId }),
  };
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
    const value: unknown = JSON.parse(json);
    return typeof value === "object" && value !== null ? value : json;
  } catch {
    return json;
  }
}
