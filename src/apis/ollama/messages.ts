import { shown, wrongKey } from "../../engine/request/request-values.ts";
import type { ChatMessage } from "../../engine/types.ts";
import { bodiesOf, Body } from "../body.ts";

/** The conversation of /api/chat. @throws IdlmError "usage" with the path. */
export function readConversation(body: Body): readonly ChatMessage[] {
  return bodiesOf(body.take("messages") ?? [], "messages", body).map(readMessage);
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
    ...(calls !== undefined && { toolCalls: readCalls(calls, message) }),
    ...(name !== undefined && { name }),
    ...(toolCallId !== undefined && { toolCallId }),
  };
}

/** @throws IdlmError "usage" if there are images. */
export function withoutImages(body: Body): void {
  body.only("images", (images) => Array.isArray(images) && images.length === 0, "The models read text only.");
}

function readCalls(value: unknown, message: Body): NonNullable<ChatMessage["toolCalls"]> {
  return bodiesOf(value, message.at("tool_calls"), message).map((call) => {
    call.ignore("type");
    const [id, called] = [call.string("id"), new Body(call.take("function"), call.at("function"), call)];
    called.ignore("index");
    const [name, given] = [called.string("name"), called.take("arguments") ?? {}];
    if (name === undefined) throw wrongKey(called.at("name"), "expected the name of the function");
    if (typeof given !== "object" || Array.isArray(given)) {
      throw wrongKey(called.at("arguments"), `expected an object, found ${shown(given)}`);
    }
    return { ...(id !== undefined && { id }), name, arguments: given as Readonly<Record<string, unknown>> };
  });
}
