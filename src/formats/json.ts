import { isUtf8 } from "node:buffer";
import { malformed, quote } from "./malformed.ts";
import { ByteFile } from "./map-file.ts";

export interface JsonLimits {
  readonly maxBytes: number;
  readonly maxDepth: number;
}

/** tokenizer.json of large vocabularies takes up to 35 MB; a config a few KB. Nothing published nests deeper than 20. */
const DEFAULT_LIMITS: JsonLimits = { maxBytes: 128 * 1024 * 1024, maxDepth: 64 };

export type JsonObject = Readonly<Record<string, unknown>>;

/** Reads a JSON file of any value. Errors: "file-missing" (with `hint`), "file-unreadable", "file-malformed". */
export function readJson(path: string, limits: Partial<JsonLimits> = {}, hint = ""): unknown {
  const { maxBytes, maxDepth } = { ...DEFAULT_LIMITS, ...limits };
  const file = new ByteFile(path, hint);
  try {
    if (file.size > maxBytes) throw malformed(path, "size", `at most ${maxBytes} bytes`, file.size);
    return parseJson(file.read(0, file.size), path, "content", maxDepth);
  } finally {
    file.close();
  }
}

/** Reads a JSON file that holds an object. */
export function readJsonObject(path: string, limits: Partial<JsonLimits> = {}, hint = ""): JsonObject {
  return requireObject(readJson(path, limits, hint), path, "content");
}

/** JSON of UTF-8 bytes. An object that names a key twice is an error: JSON.parse would drop one of the two in silence. */
export function parseJson(bytes: Uint8Array, path: string, field: string, maxDepth = DEFAULT_LIMITS.maxDepth): unknown {
  if (!isUtf8(bytes)) throw malformed(path, field, "JSON in UTF-8", "bytes that are not UTF-8");
  const text = new TextDecoder().decode(bytes);
  checkNesting(text, path, field, maxDepth);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw malformed(path, field, "JSON", reasonOf(error, text));
  }
}

export function requireObject(value: unknown, path: string, field: string): JsonObject {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw malformed(path, field, "a JSON object", kindOf(value));
  }
  return value as JsonObject;
}

/** What a JSON value is, for an error message. */
export function kindOf(value: unknown): string {
  if (value === undefined) return "nothing";
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  if (typeof value === "object") return "an object";
  return typeof value === "string" ? quote(value) : String(value);
}

/** V8's message repeats pieces of the file; only what it says about the place is kept. */
function reasonOf(error: unknown, text: string): string {
  if (text.trim() === "") return "nothing";
  const position = /position (\d+)/.exec(error instanceof Error ? error.message : "")?.[1];
  return position === undefined ? "something else" : `something else at character ${position}`;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;
const OPEN_BRACE = 0x7b;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACE = 0x7d;
const CLOSE_BRACKET = 0x5d;

/** One pass over the text without recursion: depth of brackets, and keys of every object. Wrong JSON is left to the parser. */
function checkNesting(text: string, path: string, field: string, maxDepth: number): void {
  const open: (Set<string> | undefined)[] = [];
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === OPEN_BRACE || code === OPEN_BRACKET) {
      open.push(code === OPEN_BRACE ? new Set() : undefined);
      if (open.length > maxDepth)
        throw malformed(path, field, `JSON nested at most ${maxDepth} deep`, "deeper nesting");
    } else if (code === CLOSE_BRACE || code === CLOSE_BRACKET) {
      open.pop();
    } else if (code === QUOTE) {
      const start = i;
      i = endOfString(text, i);
      const keys = open.at(-1);
      if (keys === undefined || text.charCodeAt(skipSpace(text, i + 1)) !== COLON) continue;
      const key = unescapeString(text.slice(start, i + 1));
      if (key !== undefined && keys.has(key)) throw malformed(path, `${field}, key ${quote(key)}`, "once", "twice");
      if (key !== undefined) keys.add(key);
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
