import type { AddedToken } from "../formats/files/tokenizer-json.ts";
import type { TokenFinder } from "./added-tokens.ts";

interface Table {
  /** Finds the longest token at each position, also within others. */
  readonly pattern: RegExp;
  /** Longest first, in bytes. */
  readonly tokens: readonly AddedToken[];
}

/**
 * Finds the tokens of a GGUF file in texts as llama.cpp does: the longest token wherever it is, then the next in what is
 * left. Where tokens do not overlap, that is the same as from left to right.
 */
export class TokenPartition implements TokenFinder {
  readonly #all: Table | undefined;
  /** Without special tokens. */
  readonly #plain: Table | undefined;

  constructor(tokens: readonly AddedToken[]) {
    this.#all = tableOf(tokens);
    this.#plain = tableOf(tokens.filter(({ special }) => !special));
  }

  get isEmpty(): boolean {
    return this.#all === undefined;
  }

  split(text: string, special: boolean): (string | number)[] {
    const table = special ? this.#all : this.#plain;
    const parts: (string | number)[] = [];
    let rest = "";
    let end = 0;
    const add = (part: string | number) => {
      if (typeof part === "string") rest += part;
      else {
        if (rest !== "") parts.push(rest);
        parts.push(part);
        rest = "";
      }
    };
    if (table !== undefined) {
      for (const { start, stop } of clustersOf(text, table.pattern)) {
        add(text.slice(end, start));
        for (const part of partition(text.slice(start, stop), table.tokens)) add(part);
        end = stop;
      }
    }
    rest += text.slice(end);
    if (rest !== "") parts.push(rest);
    return parts;
  }
}

/** Stretches of tokens that overlap. */
function clustersOf(text: string, pattern: RegExp): { readonly start: number; readonly stop: number }[] {
  const clusters: { readonly start: number; stop: number }[] = [];
  for (const { index, 1: token = "" } of text.matchAll(pattern)) {
    const last = clusters.at(-1);
    const stop = index + token.length;
    if (last !== undefined && index < last.stop) last.stop = Math.max(last.stop, stop);
    else clusters.push({ start: index, stop });
  }
  return clusters;
}

function partition(text: string, tokens: readonly AddedToken[]): readonly (string | number)[] {
  let parts: readonly (string | number)[] = [text];
  for (const { content, id } of tokens) {
    if (!text.includes(content)) continue;
    parts = parts.flatMap((part) => {
      if (typeof part === "number") return [part];
      const between = part.split(content);
      return between.flatMap((piece, i) => [...(i > 0 ? [id] : []), ...(piece === "" ? [] : [piece])]);
    });
  }
  return parts;
}

function tableOf(tokens: readonly AddedToken[]): Table | undefined {
  if (tokens.length === 0) return undefined;
  const sorted = [...tokens].sort((a, b) => Buffer.byteLength(b.content) - Buffer.byteLength(a.content));
  const alternatives = [...tokens]
    .sort((a, b) => b.content.length - a.content.length)
    .map(({ content }) => content.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"));
  return { pattern: new RegExp(`(?=(${alternatives.join("|")}))`, "gu"), tokens: sorted };
}
