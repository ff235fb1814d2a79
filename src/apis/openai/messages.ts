import { readMessages } from "../../engine/request/messages.ts";
import { shown, wrongKey } from "../../engine/request/request-values.ts";
import type { ChatMessage, ToolCallMessage } from "../../engine/types.ts";
import { bodiesOf, Body } from "../body.ts";

/** Reads the messages of a body in the engine's form. @throws IdlmError "usage". */
export function messagesOf(outer: Body): readonly ChatMessage[] {
  const value = outer.take("messages");
  const messages: unknown = Array.isArray(value) ? value.map((one, i) => plainMessage(one, i, outer)) : value;
  const read = readMessages(messages, (path, expected, found) =>
    wrongKey(`messages${path}`, `expected ${expected}, found ${found}`),
  );
  return withToolNames(read);
}

/** A message in the engine's form; `readMessages` validates it. */
function plainMessage(message: unknown, i: number, outer: Body): unknown {
  if (typeof message !== "object" || message === null || Array.isArray(message)) return message;
  const body = new Body(message, `messages[${i}]`, outer);
  body.only("function_call", () => false, "Use tool_calls.");
  body.only("audio", () => false, "Leave it out.");
  body.ignore("annotations");
  const role = body.take("role");
  const isOfAssistant = role === "assistant";
  const toolCalls = isOfAssistant ? callsOf(body) : undefined;
  const reasoning = isOfAssistant ? (body.string("reasoning_content") ?? body.string("reasoning")) : undefined;
  const name = body.string("name");
  const toolCallId = role === "tool" ? body.string("tool_call_id") : undefined;
  const hasCalls = toolCalls !== undefined;
  const content = contentOf(body, isOfAssistant, hasCalls || reasoning !== undefined);
  return {
    ...{ role: roleOf(role), content },
    ...(name !== undefined && { name }),
    ...(reasoning !== undefined && { reasoning }),
    ...(hasCalls && { toolCalls }),
    ...(toolCallId !== undefined && { toolCallId }),
  };
}

/** Chat templates have no developer role, and the older API called results of tools those of functions. */
function roleOf(role: unknown): unknown {
  if (role === "developer") return "system";
  return role === "function" ? "tool" : role;
}

/** What an assistant refused with stands in place of its content. */
function contentOf(body: Body, isOfAssistant: boolean, mayBeAbsent: boolean): unknown {
  const content = body.take("content");
  const refusal = isOfAssistant && (content === undefined || content === "") ? body.string("refusal") : undefined;
  if (refusal !== undefined) return refusal;
  if (content === undefined && mayBeAbsent) return "";
  return Array.isArray(content) ? textOf(content, body.at("content"), body) : content;
}

/** Undefined: none. */
function callsOf(body: Body): readonly ToolCallMessage[] | undefined {
  const calls = body.take("tool_calls");
  const path = body.at("tool_calls");
  if (calls === undefined || (Array.isArray(calls) && calls.length === 0)) return undefined;
  if (!Array.isArray(calls)) throw wrongKey(path, `expected an array of calls, found ${shown(calls)}`);
  return bodiesOf(calls, path, body).map((call) => {
    const type = call.string("type") ?? "function";
    if (type !== "function") throw wrongKey(call.at("type"), `expected "function", found ${shown(type)}`);
    const id = call.string("id");
    const called = new Body(call.take("function"), call.at("function"), call);
    const name = called.string("name");
    if (name === undefined) throw wrongKey(called.at("name"), "expected a string, found nothing");
    const text = called.take("arguments") ?? "{}";
    const isObject = typeof text === "object" && !Array.isArray(text);
    if (typeof text !== "string" && !isObject)
      throw wrongKey(called.at("arguments"), `expected JSON text, found ${shown(text)}`);
    call.ignore("index");
    return { ...(id !== undefined && { id }), name, arguments: text as ToolCallMessage["arguments"] };
  });
}

/** Some templates name the tool of a result, which the API leaves to the call. */
function withToolNames(messages: readonly ChatMessage[]): readonly ChatMessage[] {
  const names = new Map<string, string>();
  return messages.map((message) => {
    for (const { id, name } of message.toolCalls ?? []) if (id !== undefined) names.set(id, name);
    const { role, name, toolCallId } = message;
    const known = role === "tool" && name === undefined ? names.get(toolCallId ?? "") : undefined;
    return known === undefined ? message : { ...message, name: known };
  });
}

/** A string, or parts of type text, at a path of `outer`. */
export function textOf(value: unknown, path: string, outer: Body): string {
  if (typeof value === "string") return value;
  if (!Array.isArray(value)) throw wrongKey(path, "expected a string or parts of type text");
  return bodiesOf(value, path, outer)
    .map((part) => {
      part.ignore("annotations", "cache_control", "prompt_cache_breakpoint");
      const type = part.take("type");
      if (type === "refusal") return part.requiredString("refusal");
      if (type !== "text") throw wrongKey(part.at("type"), `expected text, found ${shown(type)}`);
      return part.requiredString("text");
    })
    .join("");
}
