import type { AddedToken } from "../formats/files/tokenizer-json.ts";

/** Rust's `\w` and `\s`, by which the library `tokenizers` reads the flags of an added token. */
const endsWithWord = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]$/u;
const startsWithWord = /^[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u;
const whiteSpace = /\p{White_Space}/u;

/** Finds added tokens in texts. */
export interface TokenFinder {
  /** The ids of added tokens (special ones only on request), and the texts between. */
  split(text: string, special: boolean): (string | number)[];
}

interface Table {
  readonly pattern: RegExp;
  readonly tokens: ReadonlyMap<string, AddedToken>;
}

/**
 * Finds added tokens in texts, as `tokenizers` does: of several that match, the first and longest; `single_word`: only
 * between characters that are not of words; `lstrip`, `rstrip`: with the white space before or after. Nothing is found
 * within a token that matches but does not count, being special or part of a word.
 */
export class AddedTokens implements TokenFinder {
  readonly #table: Table | undefined;

  /** `contentOf`: a token's text, where it is looked for in normalised texts. */
  constructor(tokens: readonly AddedToken[], contentOf: (token: AddedToken) => string = ({ content }) => content) {
    this.#table = tableOf(tokens, contentOf);
  }

  get isEmpty(): boolean {
    return this.#table === undefined;
  }

  split(text: string, special: boolean): (string | number)[] {
    const table = this.#table;
    if (table === undefined) return text === "" ? [] : [text];
    const result: (string | number)[] = [];
    let end = 0;
    for (const match of text.matchAll(table.pattern)) {
      const token = table.tokens.get(match[0]) as AddedToken;
      if (token.special && !special) continue;
      let start = match.index;
      let stop = start + match[0].length;
      if (token.single_word === true) {
        // Two units hold the character next to the token.
        if (endsWithWord.test(text.slice(Math.max(0, start - 2), start))) continue;
        if (startsWithWord.test(text.slice(stop, stop + 2))) continue;
      }
      if (token.lstrip === true) {
        while (start > end && whiteSpace.test(text[start - 1] as string)) start--;
        // The token before may have taken this one, if it is white space itself.
        start = Math.max(start, end);
        if (start >= stop) continue;
      }
      if (token.rstrip === true) while (stop < text.length && whiteSpace.test(text[stop] as string)) stop++;
      if (start > end) result.push(text.slice(end, start));
      result.push(token.id);
      end = stop;
    }
    if (end < text.length) result.push(text.slice(end));
    return result;
  }
}

/** Longest first, so that the longest matching token is chosen; of those with the same normalised text the first. */
function tableOf(tokens: readonly AddedToken[], contentOf: (token: AddedToken) => string): Table | undefined {
  const byContent = new Map<string, AddedToken>();
  for (const token of tokens) {
    const content = contentOf(token);
    if (content !== "" && !byContent.has(content)) byContent.set(content, token);
  }
  if (byContent.size === 0) return undefined;
  const sorted = [...byContent.keys()].sort((a, b) => b.length - a.length);
  const pattern = new RegExp(sorted.map(escaped).join("|"), "gu");
  return { pattern, tokens: byContent };
}

/** A pattern that matches just a text. */
export function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
}
