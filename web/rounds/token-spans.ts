import type { WireToken } from "../api/wire.ts";

/** A stretch of the text and the token that it came from. */
export interface TokenSpan {
  /** In UTF-16 units of the text. */
  readonly start: number;
  readonly end: number;
  /** Index among the tokens of the generation. */
  readonly token: number;
}

/** Tokens without text of their own in the answer (special tokens, `<think>`) that may be skipped at once. */
const MAX_SKIPPED = 16;

/**
 * Finds which part of a growing text came from which token. The text may lag behind the tokens, lacks special tokens, and
 * has whole characters where tokens have parts of them (shown as U+FFFD).
 */
export class TokenSpans {
  readonly #tokens: WireToken[] = [];
  readonly spans: TokenSpan[] = [];
  #cursor = 0;
  #next = 0;
  /** First of the tokens with parts of characters whose place is not known yet. */
  #partial: number | undefined;

  add(tokens: readonly WireToken[]): void {
    this.#tokens.push(...tokens);
  }

  /** Extends `spans` as far as the text can be assigned. */
  extend(text: string): void {
    while (this.#next < this.#tokens.length && this.#cursor < text.length) {
      const piece = this.#tokens[this.#next]?.text ?? "";
      if (piece.includes("\uFFFD")) {
        this.#partial ??= this.#next;
        this.#next++;
        continue;
      }
      const found = this.#find(text);
      if (found === undefined) return;
      if (this.#partial !== undefined) {
        this.#push(this.#cursor, found.at, this.#partial);
        this.#partial = undefined;
      }
      this.#push(found.at, found.at + (this.#tokens[found.token]?.text.length ?? 0), found.token);
      this.#next = found.token + 1;
    }
  }

  /** The text is complete: what is left belongs to the next token. */
  finish(text: string): void {
    this.extend(text);
    const token = this.#partial ?? Math.min(this.#next, this.#tokens.length - 1);
    if (token >= 0) this.#push(this.#cursor, text.length, token);
  }

  #find(text: string): { readonly at: number; readonly token: number } | undefined {
    for (let token = this.#next; token < Math.min(this.#tokens.length, this.#next + MAX_SKIPPED); token++) {
      const piece = this.#tokens[token]?.text ?? "";
      if (piece === "" || piece.includes("\uFFFD")) continue;
      if (this.#partial !== undefined) {
        const at = text.indexOf(piece, this.#cursor);
        if (at >= 0) return { at, token };
      } else if (text.startsWith(piece, this.#cursor)) {
        return { at: this.#cursor, token };
      } else if (piece.startsWith(text.slice(this.#cursor))) {
        // Only its beginning has arrived.
        return undefined;
      }
    }
    return undefined;
  }

  #push(start: number, end: number, token: number): void {
    if (end > start) this.spans.push({ start, end, token });
    this.#cursor = Math.max(this.#cursor, end);
  }
}
