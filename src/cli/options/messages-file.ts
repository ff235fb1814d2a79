import { readMessages } from "../../engine/request/messages.ts";
import { kindOf, readJson, readJsonObject } from "../../formats/files/json.ts";
import { malformed, quote } from "../../formats/files/malformed.ts";
import type { ChatMessage } from "../../index.ts";
import { MAX_TEXT_BYTES } from "./read-text.ts";

/** Reads `--messages`: an array of {role, content}. Throws the errors of readJson. */
export function readMessagesFile(path: string): readonly ChatMessage[] {
  const json = readJson(path, { maxBytes: MAX_TEXT_BYTES }, "--messages needs a JSON file.");
  return readMessages(json, (at, expected, found) => malformed(path, at === "" ? "content" : at, expected, found));
}

/** Reads `--logit-bias`: an object with the bias of each token id. */
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
