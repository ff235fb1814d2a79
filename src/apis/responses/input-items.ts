import { shown, wrongKey } from "../../engine/request/request-values.ts";
import type { ChatMessage } from "../../engine/types.ts";
import { bodiesOf, Body } from "../body.ts";

/** Finds an item of a stored response by its id. */
export type FindItem = (id: string) => unknown;

/** Keys of items and parts that do not change the text. */
const withoutEffect = ["status", "phase", "encrypted_content", "annotations", "logprobs", "prompt_cache_breakpoint"];

/** The messages of `input`: a text, or items. @throws IdlmError "usage" with the path. */
export function readInput(value: unknown, find: FindItem, body: Body): readonly ChatMessage[] {
  if (typeof value === "string") return [{ role: "user", content: value }];
  if (!Array.isArray(value)) throw wrongKey("input", `expected a string or items, found ${shown(value)}`);
  return joined(bodiesOf(value, "input", body).map((item) => readItem(item, find)));
}

function readItem(item: Body, find: FindItem): ChatMessage {
  const [given, id] = [item.take("type"), item.take("id")];
  // An item with nothing but an id refers to a stored one.
  const isReference = given === undefined && id !== undefined && item.take("role") === undefined;
  const type = isReference ? "item_reference" : (given ?? "message");
  item.ignore(...withoutEffect);
  if (type === "message") return readMessage(item);
  if (type === "function_call") {
    const call = {
      id: item.requiredString("call_id"),
      name: item.requiredString("name"),
      arguments: item.requiredString("arguments"),
    };
    return { role: "assistant", content: "", toolCalls: [call] };
  }
  if (type === "function_call_output") {
    const content = partsOf(item, "output", ["input_text", "output_text"]);
    return { role: "tool", content, toolCallId: item.requiredString("call_id") };
  }
  if (type === "reasoning") return { role: "assistant", content: "", reasoning: reasoningOf(item) };
  if (type === "item_reference") {
    const found = find(item.requiredString("id"));
    if (found === undefined) throw wrongKey(item.at("id"), `no item ${shown(id)} is stored`, "Send the item itself.");
    return readItem(new Body(found, item.at("id")), () => undefined);
  }
  const known = "message, function_call, function_call_output, reasoning or item_reference";
  throw wrongKey(item.at("type"), `expected ${known}, found ${shown(type)}`);
}

function readMessage(item: Body): ChatMessage {
  const role = item.choice("role", ["user", "assistant", "system", "developer"]);
  if (role === undefined) throw wrongKey(item.at("role"), "expected user, assistant, system or developer");
  const content = partsOf(item, "content", ["input_text", "output_text"]);
  // Chat templates have no developer role.
  return { role: role === "developer" ? "system" : role, content };
}

/** The text of the content, else of the summary. */
function reasoningOf(item: Body): string {
  if (item.take("content") !== undefined) {
    item.ignore("summary");
    return partsOf(item, "content", ["reasoning_text"]);
  }
  return item.take("summary") === undefined ? "" : partsOf(item, "summary", ["summary_text"]);
}

function partsOf(item: Body, key: string, types: readonly string[]): string {
  const [value, path] = [item.take(key), item.at(key)];
  if (typeof value === "string") return value;
  if (!Array.isArray(value)) throw wrongKey(path, `expected a string or parts, found ${shown(value)}`);
  return bodiesOf(value, path, item)
    .map((part) => {
      part.ignore(...withoutEffect);
      const type = part.take("type");
      if (type === "refusal") return part.requiredString("refusal");
      if (!types.includes(String(type))) {
        throw wrongKey(part.at("type"), `expected ${types.join(" or ")}, found ${shown(type)}`);
      }
      return part.requiredString("text");
    })
    .join("");
}

/** Reasoning, text and calls of one turn are items here, but one message in chat templates. */
export function joined(messages: readonly ChatMessage[]): readonly ChatMessage[] {
  const all: ChatMessage[] = [];
  for (const message of messages) {
    const last = all.at(-1);
    if (last?.role === "assistant" && message.role === "assistant" && continues(last, message)) {
      all[all.length - 1] = {
        role: "assistant",
        content: last.content + message.content,
        ...withReasoning((last.reasoning ?? "") + (message.reasoning ?? "")),
        ...withCalls([...(last.toolCalls ?? []), ...(message.toolCalls ?? [])]),
      };
    } else all.push(message);
  }
  return all;
}

/** Reasoning begins a turn; two texts are two messages. */
function continues(last: ChatMessage, { content, reasoning }: ChatMessage): boolean {
  if (reasoning !== undefined) return last.content === "" && last.toolCalls === undefined;
  return content === "" || last.content === "";
}

function withReasoning(reasoning: string): Pick<ChatMessage, "reasoning"> {
  return reasoning === "" ? {} : { reasoning };
}

function withCalls(toolCalls: NonNullable<ChatMessage["toolCalls"]>): Pick<ChatMessage, "toolCalls"> {
  return toolCalls.length === 0 ? {} : { toolCalls };
}
