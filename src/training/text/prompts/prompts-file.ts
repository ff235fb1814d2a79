import { createHash } from "node:crypto";
import { readMessages } from "../../../engine/request/messages.ts";
import { parseJson } from "../../../formats/files/json.ts";
import { malformed } from "../../../formats/files/malformed.ts";
import { readLines } from "../../../formats/files/read-lines.ts";
import { IdlmError } from "../../../errors.ts";
import type { ChatMessage } from "../../../engine/types.ts";
import type { Prompt, PromptList } from "./prompt.ts";

/** Bytes of a line: far above any context. */
const MAX_LINE_BYTES = 2 ** 20;
/** A bound on memory: far more than a run answers. */
const MAX_PROMPTS = 1_000_000;

/** The prompts of a file, in its order. */
export class FilePrompts implements PromptList {
  readonly prompts: readonly Prompt[];
  /** Prompts that came a second time, and were left out. */
  readonly nRepeated: number;
  /** Of the prompts, in hexadecimal. */
  readonly sha256: string;

  private constructor(prompts: readonly Prompt[], nRepeated: number, sha256: string) {
    this.prompts = prompts;
    this.nRepeated = nRepeated;
    this.sha256 = sha256;
  }

  /**
   * Reads a file of prompts, one per line. A line that begins with { or [ is JSON: {"messages": […]}, or the messages;
   * any other is the user's turn. Answers at the end of a chat are left out, since the model answers itself.
   * @throws IdlmError "file-missing" (with `hint`), "file-unreadable", "file-malformed" naming the line; the signal's reason.
   */
  static async read(path: string, hint: string, signal: AbortSignal): Promise<FilePrompts> {
    const prompts: Prompt[] = [];
    const known = new Set<string>();
    const hash = createHash("sha256");
    let nRepeated = 0;
    const lines = readLines(path, MAX_LINE_BYTES, signal);
    try {
      for await (const { number, text } of lines) {
        const line = `line ${number}`;
        if (text === undefined)
          throw malformed(path, line, `UTF-8 of at most ${MAX_LINE_BYTES} bytes`, "something else");
        if (text.trim() === "") continue;
        const opening = messagesOf(text.trim(), path, line);
        const key = JSON.stringify(opening);
        if (known.has(key)) {
          nRepeated++;
          continue;
        }
        known.add(key);
        hash.update(`${key}\n`);
        const first = opening.find(({ role }) => role === "user");
        if (prompts.push({ group: first?.content ?? "", opening, further: [] }) > MAX_PROMPTS)
          throw malformed(path, "prompts", `at most ${MAX_PROMPTS}`, "more");
      }
    } catch (error) {
      if (error instanceof IdlmError && error.code === "file-missing")
        throw new IdlmError("file-missing", { path, hint });
      throw error;
    }
    if (prompts.length === 0) throw malformed(path, "content", "at least one prompt", "none");
    return new FilePrompts(prompts, nRepeated, hash.digest("hex"));
  }

  at(n: number): Prompt {
    return this.prompts[n % this.prompts.length] as Prompt;
  }
}

function messagesOf(text: string, path: string, line: string): readonly ChatMessage[] {
  if (!text.startsWith("{") && !text.startsWith("[")) return [{ role: "user", content: text }];
  const json = parseJson(Buffer.from(text), path, line);
  const isArray = Array.isArray(json);
  const field = isArray ? line : `${line}: messages`;
  const given = isArray ? json : (json as { readonly messages?: unknown }).messages;
  const messages = [...readMessages(given, (at, expected, found) => malformed(path, `${field}${at}`, expected, found))];
  while (messages.at(-1)?.role === "assistant") messages.pop();
  if (messages.at(-1)?.role !== "user" || messages.at(-1)?.content.trim() === "")
    throw malformed(path, field, "a turn of the user to answer", "none");
  return messages;
}
