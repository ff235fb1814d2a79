import { kindOf } from "../../formats/files/json.ts";
import type { ChatMessage, ToolCallMessage } from "../types.ts";
import { isDeeperThan, MAX_DEPTH } from "./json-depth.ts";

/** Roles of messages, as chat templates know them. */
const roles = ["system", "user", "assistant", "tool"] as const satisfies readonly ChatMessage["role"][];

/** More turns than any context holds: bounds what a template has to render. */
const MAX_MESSAGES = 10_000;
/** UTF-16 units of all texts together: more than any context holds, and the size of a file of messages. */
export const MAX_CONTENT_LENGTH = 2 ** 24;

/** Makes the error for the value at a path ("[2].content"; "" is the list itself), which is not as expected. */
export type MessageError = (path: string, expected: string, found: string) => Error;

const keys: Readonly<Record<keyof ChatMessage, true>> = {
  ...{ role: true, content: true, name: true, reasoning: true, toolCalls: true, toolCallId: true },
};

/**
 * Checks a conversation from outside: of a request, a file or the API. Returns a copy.
 * @throws the error that `fail` makes, for the first value that is not as expected.
 */
export function readMessages(value: unknown, fail: MessageError): readonly ChatMessage[] {
  if (!Array.isArray(value)) throw fail("", "an array of messages", kindOf(value));
  if (value.length === 0 || value.length > MAX_MESSAGES) {
    throw fail("", `1 to ${MAX_MESSAGES} messages`, String(value.length));
  }
  let length = 0;
  return value.map((message: unknown, i) => {
    const checked = readMessage(message, `[${i}]`, fail);
    length += lengthOf(checked);
    if (length > MAX_CONTENT_LENGTH) {
      throw fail("", `at most ${MAX_CONTENT_LENGTH} characters in all messages`, `more up to message ${i}`);
    }
    return checked;
  });
}

function lengthOf({ content, name = "", reasoning = "", toolCalls = [], toolCallId = "" }: ChatMessage): number {
  const calls = toolCalls.length === 0 ? 0 : JSON.stringify(toolCalls).length;
  return content.length + name.length + reasoning.length + calls + toolCallId.length;
}

function readMessage(message: unknown, path: string, fail: MessageError): ChatMessage {
  if (!isObject(message)) throw fail(path, "an object with role and content", kindOf(message));
  const unknown = Object.keys(message).find((key) => !Object.hasOwn(keys, key));
  if (unknown !== undefined) throw fail(path, `only the keys ${Object.keys(keys).join(", ")}`, kindOf(unknown));
  const { role, content, name, reasoning, toolCalls, toolCallId } = message;
  const known = roles.find((name) => name === role);
  if (known === undefined) throw fail(`${path}.role`, `one of ${roles.join(", ")}`, kindOf(role));
  if (typeof content !== "string") throw fail(`${path}.content`, "a string", kindOf(content));
  for (const [key, text] of Object.entries({ name, reasoning, toolCallId })) {
    if (text !== undefined && typeof text !== "string") throw fail(`${path}.${key}`, "a string", kindOf(text));
  }
  const checked = {
    ...{ role: known, content },
    ...(typeof name === "string" && { name }),
    ...(typeof reasoning === "string" && { reasoning }),
    ...(toolCalls !== undefined && { toolCalls: readCalls(toolCalls, `${path}.toolCalls`, fail) }),
    ...(typeof toolCallId === "string" && { toolCallId }),
  };
  // Keys keep their order, which shows where a chat template prints a message.
  const given = Object.keys(message).filter((key) => Object.hasOwn(checked, key));
  return Object.assign(Object.fromEntries(given.map((key) => [key, undefined])), checked);
}

function readCalls(value: unknown, path: string, fail: MessageError): readonly ToolCallMessage[] {
  if (!Array.isArray(value)) throw fail(path, "an array of calls", kindOf(value));
  return value.map((call: unknown, i) => {
    if (!isObject(call)) throw fail(`${path}[${i}]`, "an object with name and arguments", kindOf(call));
    const { id, name, arguments: given } = call;
    if (id !== undefined && typeof id !== "string") throw fail(`${path}[${i}].id`, "a string", kindOf(id));
    if (typeof name !== "string") throw fail(`${path}[${i}].name`, "a string", kindOf(name));
    if (typeof given !== "string" && (!isObject(given) || isDeeperThan(given, MAX_DEPTH))) {
      const expected = `JSON text or an object at most ${MAX_DEPTH} levels deep`;
      throw fail(`${path}[${i}].arguments`, expected, isObject(given) ? "a deeper one" : kindOf(given));
    }
    return { ...(id !== undefined && { id }), name, arguments: given };
  });
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
