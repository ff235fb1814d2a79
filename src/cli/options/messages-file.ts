import { kindOf, readJson, readJsonObject } from "../../formats/files/json.ts";
import { malformed, quote } from "../../formats/files/malformed.ts";
import type { ChatMessage } from "../../index.ts";
import { MAX_TEXT_BYTES } from "./read-text.ts";

/** Roles that chat templates know. */
const roles = ["system", "user", "assistant", "tool"] as const satisfies readonly ChatMessage["role"][];

/** More turns than any context holds; a bound on what a template is asked to render. */
const MAX_MESSAGES = 10_000;

/** Reads `--messages`: an array of {role, content}. Errors: those of readJson. */
export function readMessages(path: string): ChatMessage[] {
  const json = readJson(path, { maxBytes: MAX_TEXT_BYTES }, "--messages needs a JSON file.");
  if (!Array.isArray(json)) throw malformed(path, "content", "an array of messages", kindOf(json));
  if (json.length === 0 || json.length > MAX_MESSAGES) {
    throw malformed(path, "content", `1 to ${MAX_MESSAGES} messages`, String(json.length));
  }
  return json.map((message: unknown, i): ChatMessage => {
    if (typeof message !== "object" || message === null || Array.isArray(message)) {
      throw malformed(path, `[${i}]`, "an object with role and content", kindOf(message));
    }
    const unknown = Object.keys(message).find((key) => key !== "role" && key !== "content");
    if (unknown !== undefined) throw malformed(path, `[${i}]`, "the keys role and content", quote(unknown));
    const { role, content } = message as { role?: unknown; content?: unknown };
    const known = roles.find((name) => name === role);
    if (known === undefined) throw malformed(path, `[${i}].role`, roles.join(", "), kindOf(role));
    if (typeof content !== "string") throw malformed(path, `[${i}].content`, "a string", kindOf(content));
    return { role: known, content };
  });
}

/** Reads `--logit-bias`: an object from token id to the number that is added to its logit. */
export function readLogitBias(path: string): Map<number, number> {
  const json = readJsonObject(path, { maxBytes: MAX_TEXT_BYTES }, "--logit-bias needs a JSON file.");
  const bias = new Map<number, number>();
  for (const [id, value] of Object.entries(json)) {
    if (!/^(0|[1-9]\d{0,9})$/.test(id)) throw malformed(path, `key ${quote(id)}`, "a token id", "something else");
    if (typeof value !== "number" || !Number.isFinite(value))
      throw malformed(path, `"${id}"`, "a finite number", kindOf(value));
    bias.set(Number(id), value);
  }
  return bias;
}
