import type { AddedToken } from "../formats/files/tokenizer-json.ts";
import { escaped, type TokenFinder } from "./added-tokens.ts";

interface Table {
  /** Finds the longest token at each position, also within others. */
  readonly pattern: RegExp;
  /** Longest first, in bytes. */
  readonly tokens: readonly AddedToken[];
  /** By a token's content: places in `tokens` of all that it begins with, itself included. */
  readonly prefixes: ReadonlyMap<string, readonly number[]>;
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
      for (const { start, stop, found } of clustersOf(text, table.pattern)) {
        add(text.slice(end, start));
        for (const part of partition(text.slice(start, stop), tokensIn(found, table))) add(part);
        end = stop;
      }
    }
    rest += text.slice(end);
    if (rest !== "") parts.push(rest);
    return parts;
  }
}

/** A stretch of tokens that overlap. */
interface Cluster {
  readonly start: number;
  stop: number;
  /** Contents of the longest tokens at its positions. */
  readonly found: Set<string>;
}

function clustersOf(text: string, pattern: RegExp): readonly Cluster[] {
  const clusters: Cluster[] = [];
  for (const { index, 1: token = "" } of text.matchAll(pattern)) {
    const last = clusters.at(-1);
    const stop = index + token.length;
    if (last !== undefined && index < last.stop) {
      last.stop = Math.max(last.stop, stop);
      last.found.add(token);
    } else clusters.push({ start: index, stop, found: new Set([token]) });
  }
  return clusters;
}

/** Tokens that may be in a cluster, in their order: vocabularies have thousands, and texts many clusters. */
function tokensIn(found: ReadonlySet<string>, { tokens, prefixes }: Table): readonly AddedToken[] {
  const places = new Set([...found].flatMap((content) => prefixes.get(content) ?? []));
  return [...places].sort((a, b) => a - b).map((place) => tokens[place] as AddedToken);
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
    .map(({ content }) => escaped(content));
  return { pattern: new RegExp(`(?=(${alternatives.join("|")}))`, "gu"), tokens: sorted, prefixes: prefixesOf(sorted) };
}

function prefixesOf(sorted: readonly AddedToken[]): Table["prefixes"] {
  const places = new Map<string, number>();
  for (const [place, { content }] of sorted.entries()) if (!places.has(content)) places.set(content, place);
  const placesIn = (content: string) =>
    Array.from({ length: content.length }, (_, i) => places.get(content.slice(0, i + 1))).filter(
      (place) => place !== undefined,
    );
  return new Map([...places.keys()].map((content) => [content, placesIn(content)]));
}
