import { kindOf } from "../../formats/files/json.ts";
import type { ChatMessage } from "../types.ts";

/** Roles of messages, as chat templates know them. */
const roles = ["system", "user", "assistant", "tool"] as const satisfies readonly ChatMessage["role"][];

/** More turns than any context holds: bounds what a template has to render. */
const MAX_MESSAGES = 10_000;
/** UTF-16 units of all contents together: more than any context holds, and the size of a file of messages. */
const MAX_CONTENT_LENGTH = 2 ** 24;

/** Makes the error for the value at a path ("[2].content"; "" is the list itself), which is not as expected. */
export type MessageError = (path: string, expected: string, found: string) => Error;

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
    length += checked.content.length;
    if (length > MAX_CONTENT_LENGTH) {
      throw fail("", `at most ${MAX_CONTENT_LENGTH} characters in all messages`, `more up to message ${i}`);
    }
    return checked;
  });
}

function readMessage(message: unknown, path: string, fail: MessageError): ChatMessage {
  if (typeof message !== "object" || message === null || Array.isArray(message)) {
    throw fail(path, "an object with role and content", kindOf(message));
  }
  const unknown = Object.keys(message).find((key) => key !== "role" && key !== "content");
  if (unknown !== undefined) throw fail(path, "only the keys role and content", kindOf(unknown));
  const { role, content } = message as { readonly role?: unknown; readonly content?: unknown };
  const known = roles.find((name) => name === role);
  if (known === undefined) throw fail(`${path}.role`, `one of ${roles.join(", ")}`, kindOf(role));
  if (typeof content !== "string") throw fail(`${path}.content`, "a string", kindOf(content));
  return { role: known, content };
}
