import { malformed, quote } from "./malformed.ts";

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
const OPEN_BRACE = 0x7b;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACE = 0x7d;
const CLOSE_BRACKET = 0x5d;

/**
 * Checks what JSON.parse does not, in one pass over the text without recursion: nesting depth, number of values, and
 * duplicate keys. Invalid JSON is left to the parser. @throws IdlmError "file-malformed".
 */
export function checkStructure(
  text: string,
  path: string,
  field: string,
  { maxDepth, maxValues }: { readonly maxDepth: number; readonly maxValues: number },
): void {
  const open: (Set<string> | undefined)[] = [];
  let nValues = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === QUOTE) {
      const start = i;
      i = endOfString(text, i);
      const keys = open.at(-1);
      if (keys === undefined || text.charCodeAt(skipSpace(text, i + 1)) !== COLON) continue;
      const key = unescapeString(text.slice(start, i + 1));
      if (key !== undefined && keys.has(key)) throw malformed(path, `${field}, key ${quote(key)}`, "once", "twice");
      if (key !== undefined) keys.add(key);
    } else if (code === CLOSE_BRACE || code === CLOSE_BRACKET) {
      open.pop();
    } else if (code === COMMA || code === OPEN_BRACE || code === OPEN_BRACKET) {
      if (code !== COMMA) open.push(code === OPEN_BRACE ? new Set() : undefined);
      if (open.length > maxDepth) {
        throw malformed(path, field, `JSON nested at most ${maxDepth} deep`, "deeper nesting");
      }
      // Each value follows one of these. Some are counted twice (an array after a comma), so this is an upper bound.
      if (++nValues > maxValues) throw malformed(path, field, `JSON of at most ${maxValues} values`, "more");
    }
  }
}

/** Index of the quote that closes the string beginning at `start`. */
function endOfString(text: string, start: number): number {
  let i = start + 1;
  while (i < text.length && text.charCodeAt(i) !== QUOTE) i += text.charCodeAt(i) === BACKSLASH ? 2 : 1;
  return i;
}

function skipSpace(text: string, start: number): number {
  let i = start;
  while (text[i] === " " || text[i] === "\n" || text[i] === "\t" || text[i] === "\r") i++;
  return i;
}

function unescapeString(literal: string): string | undefined {
  if (!literal.includes("\\")) return literal.slice(1, -1);
  try {
    return JSON.parse(literal) as string;
  } catch {
    return undefined;
  }
}
