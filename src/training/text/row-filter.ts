import { createHash } from "node:crypto";
import { wordsOf } from "./prompts/near-duplicates.ts";
import type { DropReason, TextRow } from "./row.ts";

/** Rows that may have the same answer ("Hello! How can I help you today?"). */
const MAX_SAME_ANSWERS = 3;
/** Words by which answers are compared. */
const ANSWER_WORDS = 60;
/** Share of rows in which the model says what it cannot do: small models do it often, and always in the same words. */
const MAX_REFUSAL_SHARE = 0.04;
const REFUSAL =
  /^(?:i'm|i am|i apologi[sz]e|sorry|unfortunately|as an?)\b.{0,80}?\b(?:as an? (?:\w+ ){0,4}?(?:ai|chatbot|assistant|language model|smollm)|i (?:don't|do not) have|i'm (?:unable|not able)|i can(?:'t|not)|misunderstanding|confusion|inconvenience)/is;

/** Decides which rows are kept, in the order of requests; it knows the kept ones only. */
export class RowFilter {
  readonly #rows = new Set<string>();
  readonly #answers = new Map<string, number>();
  #nRows = 0;
  #nRefusals = 0;

  /** Why the row is to be dropped; undefined: it is to be kept. */
  problemOf(row: TextRow): DropReason | undefined {
    if (this.#rows.has(rowKey(row))) return "same-row";
    // The user's own prompts are never filtered.
    if (row.source === "file") return undefined;
    if ((this.#answers.get(answerKey(row)) ?? 0) >= MAX_SAME_ANSWERS) return "same-answer";
    return isRefusal(row) && this.#nRefusals >= MAX_REFUSAL_SHARE * (this.#nRows + 1) ? "refusal" : undefined;
  }

  /** Takes a row that is kept. */
  add(row: TextRow): void {
    this.#rows.add(rowKey(row));
    const answer = answerKey(row);
    this.#answers.set(answer, (this.#answers.get(answer) ?? 0) + 1);
    this.#nRows++;
    if (isRefusal(row)) this.#nRefusals++;
  }
}

export function isRefusal({ messages }: Pick<TextRow, "messages">): boolean {
  return messages.some(({ role, content }) => role === "assistant" && REFUSAL.test(content));
}

function rowKey({ ids }: TextRow): string {
  return hash(ids.join());
}

function answerKey({ messages }: TextRow): string {
  return hash(
    wordsOf(messages.at(-1)?.content ?? "")
      .slice(0, ANSWER_WORDS)
      .join(" "),
  );
}

/** Of keys, which would fill the memory in a long run. */
function hash(text: string): string {
  return createHash("sha256").update(text).digest("base64").slice(0, 22);
}
