import { isUtf8 } from "node:buffer";
import { checkStructure } from "./json-structure.ts";
import { malformed, quote } from "./malformed.ts";
import { ByteFile } from "./map-file.ts";

/** What a JSON text may hold. A byte of `[[],[],…` becomes 16 of memory: the length alone limits nothing. */
export interface JsonLimits {
  readonly maxBytes: number;
  readonly maxDepth: number;
  /** Numbers, strings, …, arrays and objects. */
  readonly maxValues: number;
}

/** A config takes a few KB, an index of the tensors of the largest models 10 MB. Nothing published nests deeper than 20. */
const defaultLimits: JsonLimits = { maxBytes: 32 * 2 ** 20, maxDepth: 64, maxValues: 1_000_000 };

export type JsonObject = Readonly<Record<string, unknown>>;

/** Reads a JSON file of any value. Errors: "file-missing" (with `hint`), "file-unreadable", "file-malformed". */
export function readJson(path: string, limits: Partial<JsonLimits> = {}, hint = ""): unknown {
  const { maxBytes } = { ...defaultLimits, ...limits };
  const file = new ByteFile(path, hint);
  try {
    if (file.size > maxBytes) throw malformed(path, "size", `at most ${maxBytes} bytes`, file.size);
    return parseJson(file.read(0, file.size), path, "content", limits);
  } finally {
    file.close();
  }
}

/** Reads a JSON file that holds an object. */
export function readJsonObject(path: string, limits: Partial<JsonLimits> = {}, hint = ""): JsonObject {
  return requireObject(readJson(path, limits, hint), path, "content");
}

/**
 * JSON of UTF-8 bytes, a byte order mark before it or not. An object that names a key twice is an error: JSON.parse
 * would drop one of the two in silence.
 */
export function parseJson(bytes: Uint8Array, path: string, field: string, limits: Partial<JsonLimits> = {}): unknown {
  if (!isUtf8(bytes)) throw malformed(path, field, "JSON in UTF-8", "bytes that are not UTF-8");
  const text = new TextDecoder().decode(bytes);
  checkStructure(text, path, field, { ...defaultLimits, ...limits });
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
  if (Object.is(value, -0)) return "-0";
  return typeof value === "string" ? quote(value) : String(value);
}

/** V8's message repeats pieces of the file; only what it says about the place is kept. */
function reasonOf(error: unknown, text: string): string {
  if (text.trim() === "") return "nothing";
  const position = /position (\d+)/.exec(error instanceof Error ? error.message : "")?.[1];
  return position === undefined ? "something else" : `something else at character ${position}`;
}
