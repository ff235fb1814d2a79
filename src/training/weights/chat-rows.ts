import type { ModelText } from "../../engine/load/text-tokenizer.ts";
import type { ChatMessage, TextTokenizer } from "../../engine/types.ts";
import { IdlmError } from "../../errors.ts";
import { type JsonObject, kindOf, requireObject } from "../../formats/files/json.ts";
import { malformed } from "../../formats/files/malformed.ts";
import {
  type DataIdentity,
  dataOf,
  isHeldOut,
  readOrigin,
  readRow,
  readTextFolder,
  type TrainingData,
  type TrainingRow,
} from "../data/training-data.ts";

/** The model whose weights are trained on text. */
export interface ModelOfText {
  readonly path: string;
  /** Of a model that may have written the text. */
  readonly fingerprint: string;
  readonly vocabSize: number;
  readonly contextLength: number;
  readonly text: ModelText;
}

/** For templates with the date: rows must not depend on the day. */
const DATE = new Date("2024-07-26T12:00:00Z");

interface Chat {
  readonly messages: readonly ChatMessage[];
  /** The last answer ended by itself. */
  readonly isComplete: boolean;
  readonly origin: Pick<TrainingRow, "source" | "temperature">;
}

/**
 * Reads a folder of `idlm write` for a model that need not have written it: the ids of its own text are used as they are,
 * other text is read as chats, by the model's tokenizer and template. Chats that do not fit into its context are left out.
 * Undefined if the folder no longer has what a run began with. @throws IdlmError "usage" for a model without tokenizer;
 * those of `readTextFolder`.
 */
export async function readChatRows(
  folder: string,
  model: ModelOfText,
  begun: DataIdentity | undefined,
  onWarning: (message: string) => void,
): Promise<TrainingData | undefined> {
  const { tokenizer, endTokens } = model.text;
  const text = readTextFolder(folder, begun, (json, path, field, writer) => ({
    isHeldOut: isHeldOut(json, path, field),
    own: writer === model.fingerprint ? readRow(json, path, field, model) : undefined,
    chat: writer === model.fingerprint ? undefined : readChat(json, path, field),
  }));
  if (text === undefined) return undefined;
  const [endToken] = endTokens;
  const rows: { row: TrainingRow; isHeldOut: boolean }[] = [];
  let nLong = 0;
  for (const { own, chat, isHeldOut } of text.rows) {
    if (own !== undefined) rows.push({ row: own, isHeldOut });
    if (chat === undefined) continue;
    if (tokenizer === undefined || endToken === undefined) {
      const hint = "Text of another model is read by the model's own tokenizer, chat template and end token.";
      throw new IdlmError("usage", { problem: `${model.path} has no tokenizer with an end token`, hint });
    }
    const row = await encoded(chat, tokenizer, endToken);
    if (row.tokens.length > model.contextLength) nLong++;
    else rows.push({ row, isHeldOut });
  }
  if (nLong > 0) {
    onWarning(`${nLong} of ${text.rows.length} chats are longer than the context of ${model.contextLength}: left out.`);
  }
  return dataOf(folder, { identity: text.identity, rows });
}

function readChat(json: JsonObject, path: string, field: string): Chat {
  const { messages, finish } = json;
  const expected = "messages that end with an answer";
  if (!Array.isArray(messages)) throw malformed(path, `${field}, messages`, expected, kindOf(messages));
  const chat = messages.map((message: unknown, i): ChatMessage => {
    const name = `${field}, messages[${i}]`;
    const { role, content } = requireObject(message, path, name);
    if (role !== "system" && role !== "user" && role !== "assistant") {
      throw malformed(path, `${name}.role`, "system, user or assistant", kindOf(role));
    }
    if (typeof content !== "string") throw malformed(path, `${name}.content`, "a string", kindOf(content));
    return { role, content };
  });
  if (chat.at(-1)?.role !== "assistant") throw malformed(path, `${field}, messages`, expected, "others");
  return { messages: chat, isComplete: finish === "end", origin: readOrigin(json, path, field) };
}

/** A chat's tokens. Every answer is a response, and so is its end token. */
async function encoded(
  { messages, isComplete, origin }: Chat,
  tokenizer: TextTokenizer,
  endToken: number,
): Promise<TrainingRow> {
  const openings: number[] = [];
  const answers: number[][] = [];
  let tokens: number[] = [];
  for (const [i, { role, content }] of messages.entries()) {
    if (role !== "assistant") continue;
    const opening = await tokenizer.encodeChat(messages.slice(0, i), { now: DATE });
    const isLast = i === messages.length - 1;
    const answer = [...tokenizer.encode(String(content)), ...(isLast && !isComplete ? [] : [endToken])];
    openings.push(opening.length);
    answers.push(answer);
    tokens = [...opening, ...answer];
  }
  const isResponse = new Uint8Array(tokens.length);
  answers.forEach((answer, i) => {
    const first = openings[i] ?? 0;
    // A template may lay out earlier answers in another way than they were written: those are context only.
    if (answer.every((token, j) => tokens[first + j] === token)) isResponse.fill(1, first, first + answer.length);
  });
  return { ...origin, tokens: Int32Array.from(tokens), isResponse };
}
