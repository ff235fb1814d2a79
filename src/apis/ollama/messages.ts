import { shown, wrongKey } from "../../engine/request/request-values.ts";
import type { ChatMessage } from "../../engine/types.ts";
import { bodiesOf, Body } from "../body.ts";

/** The conversation of /api/chat. @throws IdlmError "usage" with the path. */
export function readConversation(value: unknown): readonly ChatMessage[] {
  return bodiesOf(value, "messages").map(readMessage);
}

function readMessage(message: Body): ChatMessage {
  const role = message.choice("role", ["system", "user", "assistant", "tool"]);
  if (role === undefined) throw wrongKey(message.at("role"), "expected system, user, assistant or tool");
  withoutImages(message);
  const content = message.string("content") ?? "";
  const [reasoning, calls] = [message.string("thinking"), message.take("tool_calls")];
  const [name, toolCallId] = [message.string("tool_name") ?? message.string("name"), message.string("tool_call_id")];
  return {
    ...{ role, content },
    ...(reasoning !== undefined && reasoning !== "" && { reasoning }),
    ...(calls !== undefined && { toolCalls: readCalls(calls, message.at("tool_calls")) }),
    ...(name !== undefined && { name }),
    ...(toolCallId !== undefined && { toolCallId }),
  };
}

/** @throws IdlmError "usage" if there are images. */
export function withoutImages(body: Body): void {
  body.only("images", (images) => Array.isArray(images) && images.length === 0, "The models read text only.");
}

function readCalls(value: unknown, path: string): NonNullable<ChatMessage["toolCalls"]> {
  return bodiesOf(value, path).map((call) => {
    const [id, called] = [call.string("id"), new Body(call.take("function"), call.at("function"))];
    const [name, given] = [called.string("name"), called.take("arguments") ?? {}];
    if (name === undefined) throw wrongKey(called.at("name"), "expected the name of the function");
    if (typeof given !== "object" || Array.isArray(given)) {
      throw wrongKey(called.at("arguments"), `expected an object, found ${shown(given)}`);
    }
    return { ...(id !== undefined && { id }), name, arguments: given as Readonly<Record<string, unknown>> };
  });
}
