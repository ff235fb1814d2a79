import { shown, wrongKey } from "../../engine/request/request-values.ts";
import type { ChatMessage } from "../../engine/types.ts";
import { bodiesOf, type Body } from "../body.ts";

const IMAGES = "The models read text only.";

/** Keys of blocks that do not change the text. */
const withoutEffect = ["cache_control", "citations", "signature", "data", "caller"];

/** The conversation of a body: `system`, then `messages`. @throws IdlmError "usage" with the path. */
export function readConversation(body: Body): readonly ChatMessage[] {
  const system = body.take("system");
  const messages = bodiesOf(body.take("messages"), "messages", body);
  if (messages.length === 0) throw wrongKey("messages", "expected at least one message");
  const read = messages.flatMap(readMessage);
  if (read.at(-1)?.toolCalls !== undefined) {
    const problem = "the last message has calls without results";
    throw wrongKey(`messages[${messages.length - 1}].content`, problem, "Add a message with their results.");
  }
  return system === undefined ? read : [{ role: "system", content: textOf(system, "system", body) }, ...read];
}

/** A message with tool results becomes several: chat templates have each result in a message of its own. */
function readMessage(message: Body): readonly ChatMessage[] {
  const role = message.choice("role", ["user", "assistant", "system"]);
  if (role === undefined) throw wrongKey(message.at("role"), "expected user, assistant or system");
  const content = message.take("content");
  const path = message.at("content");
  if (typeof content === "string") return [{ role, content }];
  if (!Array.isArray(content)) throw wrongKey(path, `expected a string or content blocks, found ${shown(content)}`);
  if (role === "system") return [{ role, content: textOf(content, path, message) }];
  const blocks = bodiesOf(content, path, message);
  for (const block of blocks) block.ignore(...withoutEffect);
  return role === "assistant" ? [assistantMessage(blocks)] : userMessages(blocks);
}

function assistantMessage(blocks: readonly Body[]): ChatMessage {
  let content = "";
  let reasoning: string | undefined;
  const toolCalls: { readonly id: string; readonly name: string; readonly arguments: string }[] = [];
  for (const block of blocks) {
    const type = block.take("type");
    if (type === "text") content += block.requiredString("text");
    else if (type === "thinking") reasoning = (reasoning ?? "") + block.requiredString("thinking");
    else if (type === "tool_use") {
      const input = block.take("input") ?? {};
      if (typeof input !== "object") throw wrongKey(block.at("input"), `expected an object, found ${shown(input)}`);
      toolCalls.push({
        id: block.requiredString("id"),
        name: block.requiredString("name"),
        arguments: JSON.stringify(input),
      });
    } else if (type !== "redacted_thinking") {
      throw wrongKey(block.at("type"), `expected text, thinking or tool_use, found ${shown(type)}`);
    }
  }
  return {
    role: "assistant",
    content,
    ...(reasoning !== undefined && { reasoning }),
    ...(toolCalls.length > 0 && { toolCalls }),
  };
}

/** Text in front of, between and behind results of tools becomes messages of the user, in that order. */
function userMessages(blocks: readonly Body[]): readonly ChatMessage[] {
  const messages: ChatMessage[] = [];
  let pending: string | undefined;
  const flush = () => {
    if (pending !== undefined) messages.push({ role: "user", content: pending });
    pending = undefined;
  };
  for (const block of blocks) {
    const type = block.take("type");
    if (type === "text") pending = (pending ?? "") + block.requiredString("text");
    else if (type === "tool_result") {
      flush();
      const content = textOf(block.take("content") ?? "", block.at("content"), block);
      messages.push({ role: "tool", content, toolCallId: block.requiredString("tool_use_id") });
    } else throw wrongKey(block.at("type"), `expected text or tool_result, found ${shown(type)}`, IMAGES);
  }
  flush();
  return messages.length > 0 ? messages : [{ role: "user", content: "" }];
}

/** A string, or blocks of type text. */
function textOf(value: unknown, path: string, outer: Body): string {
  if (typeof value === "string") return value;
  if (!Array.isArray(value)) throw wrongKey(path, `expected a string or blocks of type text, found ${shown(value)}`);
  return bodiesOf(value, path, outer)
    .map((block) => {
      block.ignore(...withoutEffect);
      const type = block.take("type");
      if (type !== "text") throw wrongKey(block.at("type"), `expected text, found ${shown(type)}`, IMAGES);
      return block.requiredString("text");
    })
    .join("");
}
