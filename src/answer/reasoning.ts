import type { TextTokenizer } from "../engine/types.ts";
import type { MessageDelta, MessageReader } from "./types.ts";

const OPENING = "<think>";
const CLOSING = "</think>";

/** More tokens than the opening tag and white space after it. */
const TAIL = 16;

/** Whether the chat template has opened the reasoning for the model. */
export function beginsInReasoning(tokenizer: TextTokenizer | undefined, prompt: readonly number[]): boolean {
  return tokenizer?.decode(prompt.slice(-TAIL)).trimEnd().endsWith(OPENING) === true;
}

/**
 * Reads a text that may begin with reasoning between `<think>` and `</think>`, as reasoning models write it. What follows
 * is read by another reader. White space around reasoning is left out. Without a closing tag all is reasoning.
 */
export class ReasoningReader implements MessageReader {
  readonly #inner: MessageReader;
  #place: "before" | "reasoning" | "after" | "text" = "before";
  #hasReasoning = false;
  /** Text that is not certain yet. */
  #held = "";

  /** `isOpen`: the opening tag is in the prompt. */
  constructor(inner: MessageReader, isOpen: boolean) {
    this.#inner = inner;
    if (isOpen) this.#place = "reasoning";
  }

  push(text: string): readonly MessageDelta[] {
    this.#held += text;
    if (this.#place === "before") this.#open();
    const deltas = this.#place === "reasoning" ? this.#reasoning() : [];
    if (this.#place === "after") this.#held = this.#held.trimStart();
    if (this.#place === "after" && this.#held !== "") this.#place = "text";
    return this.#place === "text" ? [...deltas, ...this.#inner.push(this.#take(this.#held.length))] : deltas;
  }

  end(): readonly MessageDelta[] {
    const rest = this.#take(this.#held.length);
    if (this.#place === "reasoning") return [...this.#thought(rest.trimEnd()), ...this.#inner.end()];
    return [...this.#inner.push(rest), ...this.#inner.end()];
  }

  #open(): void {
    const start = this.#held.trimStart();
    if (start.startsWith(OPENING)) {
      this.#place = "reasoning";
      this.#held = start.slice(OPENING.length);
    } else if (!OPENING.startsWith(start)) this.#place = "text";
  }

  /** Holds back white space and a possible start of the closing tag. */
  #reasoning(): readonly MessageDelta[] {
    const close = this.#held.indexOf(CLOSING);
    const isClosed = close >= 0;
    const before = this.#held.slice(0, isClosed ? close : this.#held.length - partialTag(this.#held));
    const deltas = this.#thought(before.trimEnd());
    this.#take(isClosed ? close + CLOSING.length : before.trimEnd().length);
    if (isClosed) this.#place = "after";
    return deltas;
  }

  #thought(text: string): readonly MessageDelta[] {
    const shown = this.#hasReasoning ? text : text.trimStart();
    if (shown === "") return [];
    this.#hasReasoning = true;
    return [{ kind: "reasoning", text: shown }];
  }

  #take(length: number): string {
    const text = this.#held.slice(0, length);
    this.#held = this.#held.slice(length);
    return text;
  }
}

/** Length of the longest suffix that begins the closing tag. */
function partialTag(text: string): number {
  for (let length = CLOSING.length - 1; length > 0; length--) {
    if (text.endsWith(CLOSING.slice(0, length))) return length;
  }
  return 0;
}
