import type { AnswerEvent } from "../answer/types.ts";
import type { TokenLogprobs } from "../engine/types.ts";

/** A part of an assistant's message as APIs with typed content have it: in the order in which the model wrote them. */
export type OutputItem =
  | { readonly kind: "text" | "reasoning"; readonly text: string; readonly logprobs: readonly TokenLogprobs[] }
  | { readonly kind: "tool-call"; readonly id: string; readonly name: string; readonly text: string };

/** What an event changes. `item` is as it is after the change; `delta` was added to its text. */
export type ItemChange =
  | { readonly change: "open" | "close"; readonly index: number; readonly item: OutputItem }
  | {
      readonly change: "delta";
      readonly index: number;
      readonly item: OutputItem;
      readonly delta: string;
      readonly logprobs: readonly TokenLogprobs[];
    };

/** Collects the events of one completion into items; one is open at a time. Bodies and streams are made of the same items. */
export class OutputItems {
  readonly #closed: OutputItem[] = [];
  #open: OutputItem | undefined;
  #logprobs: TokenLogprobs[] = [];
  /** Tokens whose text has not come yet. */
  #nPending = 0;
  #nReasoning = 0;

  /** All items, the open one included. */
  get items(): readonly OutputItem[] {
    return this.#open === undefined ? this.#closed : [...this.#closed, this.#open];
  }

  /** Tokens of reasoning. All tokens of a round count with the first text that they complete. */
  get nReasoningTokens(): number {
    return this.#nReasoning;
  }

  push(event: AnswerEvent): readonly ItemChange[] {
    switch (event.kind) {
      case "text":
      case "reasoning": {
        if (event.text === "") return [];
        const item = { kind: event.kind, text: "", logprobs: [] };
        return [...(this.#open?.kind === event.kind ? [] : this.#begin(item)), ...this.#add(event.text)];
      }
      case "tool-call":
        return this.#begin({ kind: "tool-call", id: event.id, name: event.name, text: "" });
      case "tool-arguments":
        return event.text === "" ? [] : this.#add(event.text);
      case "tokens":
        this.#logprobs.push(...(event.logprobs ?? []));
        this.#nPending += event.tokens.length;
        return [];
      case "end":
        return this.#close();
      default:
        return [];
    }
  }

  #begin(item: OutputItem): readonly ItemChange[] {
    const closing = this.#close();
    this.#open = item;
    return [...closing, { change: "open", index: this.#closed.length, item }];
  }

  #add(delta: string): readonly ItemChange[] {
    const open = this.#open;
    if (open === undefined) throw new Error("a part of an answer came before its beginning");
    const logprobs = this.#logprobs;
    this.#logprobs = [];
    if (open.kind === "reasoning") this.#nReasoning += this.#nPending;
    this.#nPending = 0;
    const text = open.text + delta;
    const known =
      open.kind === "tool-call" || logprobs.length === 0 ? {} : { logprobs: [...open.logprobs, ...logprobs] };
    const item: OutputItem = { ...open, text, ...known };
    this.#open = item;
    return [{ change: "delta", index: this.#closed.length, item, delta, logprobs }];
  }

  #close(): readonly ItemChange[] {
    const item = this.#open;
    if (item === undefined) return [];
    const index = this.#closed.length;
    this.#closed.push(item);
    this.#open = undefined;
    return [{ change: "close", index, item }];
  }
}
