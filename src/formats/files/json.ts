import { isUtf8 } from "node:buffer";
import { checkStructure } from "./json-structure.ts";
import { malformed, quote } from "./malformed.ts";
import { ByteFile } from "./map-file.ts";

/** Limits of a JSON text. One byte of `[[],[],…` takes 16 bytes of memory, so limiting the length is not enough. */
export interface JsonLimits {
  readonly maxBytes: number;
  readonly maxDepth: number;
  /** Numbers, strings, booleans, nulls, arrays and objects. */
  readonly maxValues: number;
}

/** Configs take a few KB, the tensor index of the largest models 10 MB. No published file nests deeper than 20. */
const defaultLimits: JsonLimits = { maxBytes: 32 * 2 ** 20, maxDepth: 64, maxValues: 1_000_000 };

export type JsonObject = Readonly<Record<string, unknown>>;

/** Reads a JSON file. Errors: "file-missing" (with `hint`), "file-unreadable", "file-malformed". */
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

/** Reads a JSON file that must hold an object. */
export function readJsonObject(path: string, limits: Partial<JsonLimits> = {}, hint = ""): JsonObject {
  return requireObject(readJson(path, limits, hint), path, "content");
}

/**
 * Parses JSON in UTF-8, with or without a byte order mark. A duplicate key is an error: JSON.parse would silently drop
 * one of the two values.
 */
export function parseJson(bytes: Uint8Array, path: string, field: string, limits: Partial<JsonLimits> = {}): unknown {
  if (!isUtf8(bytes)) throw malformed(path, field, "JSON in UTF-8", "invalid UTF-8");
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

/** Describes a JSON value in an error message. */
export function kindOf(value: unknown): string {
  if (value === undefined) return "nothing";
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  if (typeof value === "object") return "an object";
  if (Object.is(value, -0)) return "-0";
  return typeof value === "string" ? quote(value) : String(value);
}

/** V8's message quotes parts of the file; only the position is kept. */
function reasonOf(error: unknown, text: string): string {
  if (text.trim() === "") return "nothing";
  const position = /position (\d+)/.exec(error instanceof Error ? error.message : "")?.[1];
  return position === undefined ? "something else" : `something else at character ${position}`;
}
