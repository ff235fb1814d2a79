import { kindOf } from "../files/json.ts";
import { malformed, quote } from "../files/malformed.ts";
import type { GgufCursor } from "./gguf-cursor.ts";
import { ARRAY, BOOL, type GgufNumbers, numberType, STRING } from "./gguf-value-type.ts";

export type { GgufNumbers } from "./gguf-value-type.ts";

/**
 * A metadata value. 64-bit integers are numbers if they are safe integers, else bigints. Arrays of numbers are typed
 * arrays of the stored type, other arrays are plain arrays.
 */
export type GgufValue = string | number | bigint | boolean | GgufNumbers | readonly GgufValue[];

/** Published files have fewer than 100 keys. */
const MAX_KEYS = 65_536;
/** A vocabulary of 256,000 tokens has about as many merges; 16 million leaves plenty of room. */
const MAX_ARRAY_LENGTH = 1 << 24;
/** Published files have no nested arrays; this bounds the recursion. */
const MAX_ARRAY_DEPTH = 4;
/**
 * Strings, booleans and nested arrays in the whole file: each takes tens of bytes of memory, however little of the file
 * it takes. The largest vocabularies have 256,000 tokens and twice as many merges.
 */
const MAX_ELEMENTS = 1 << 22;
/** An empty key and a value of one byte. */
const MIN_KEY_BYTES = 8 + 4 + 1;

/** Reads all keys and values; a duplicate key is an error. */
export function readMetadata(cursor: GgufCursor, nKeys: number, path: string): Map<string, GgufValue> {
  const budget = { elements: MAX_ELEMENTS };
  const metadata = new Map<string, GgufValue>();
  for (let i = 0; i < nKeys; i++) {
    const key = cursor.string(`metadata key ${i + 1} of ${nKeys}`);
    const field = `metadata ${quote(key)}`;
    if (metadata.has(key)) throw malformed(path, field, "once", "twice");
    metadata.set(key, readValue(cursor, cursor.u32(`${field}, type`), { field, path, depth: 0, budget }));
  }
  return metadata;
}

/** Most keys that fit into the remaining bytes. */
export function maxKeys(remaining: number): number {
  return Math.min(MAX_KEYS, Math.floor(remaining / MIN_KEY_BYTES));
}

/** Position of a value, for error messages, and the elements left for all values. */
interface Place {
  readonly field: string;
  readonly path: string;
  /** Number of enclosing arrays. */
  readonly depth: number;
  readonly budget: { elements: number };
}

function readValue(cursor: GgufCursor, type: number, place: Place): GgufValue {
  const { field, path } = place;
  const number = numberType(type);
  if (number !== undefined) return cursor.number(number, field);
  if (type === BOOL) return readBoolean(cursor.u8(field), field, path);
  if (type === STRING) return cursor.string(field);
  if (type === ARRAY) return readArray(cursor, { ...place, depth: place.depth + 1 });
  throw malformed(path, `${field}, type`, "a value type from 0 to 12", type);
}

function readArray(cursor: GgufCursor, place: Place): GgufNumbers | GgufValue[] {
  const { field, path, depth, budget } = place;
  if (depth > MAX_ARRAY_DEPTH) {
    throw malformed(path, field, `arrays nested at most ${MAX_ARRAY_DEPTH} deep`, "deeper nesting");
  }
  const type = cursor.u32(`${field}, type of elements`);
  const numbers = numberType(type);
  // Smallest element: a number takes its bytes, a string its length, an array its type and length.
  const minBytes = numbers?.bytes ?? (type === STRING ? 8 : type === ARRAY ? 12 : 1);
  const limit = Math.min(MAX_ARRAY_LENGTH, Math.floor(Math.max(0, cursor.remaining - 8) / minBytes));
  const length = cursor.count(`${field}, length of array`, limit, "the longest array, and what fits into the file");
  if (numbers !== undefined) return numbers.view(cursor.bytes(length * numbers.bytes, field).buffer);
  if (type !== STRING && type !== ARRAY && type !== BOOL) {
    throw malformed(path, `${field}, type of elements`, "a value type from 0 to 12", type);
  }
  budget.elements -= length;
  if (budget.elements < 0) {
    throw malformed(path, field, `at most ${MAX_ELEMENTS} strings, booleans and nested arrays`, "more");
  }
  const values: GgufValue[] = [];
  for (let i = 0; i < length; i++) values.push(readValue(cursor, type, place));
  return values;
}

function readBoolean(byte: number, field: string, path: string): boolean {
  if (byte > 1) throw malformed(path, field, "a boolean, 0 or 1", byte);
  return byte === 1;
}

/** Describes a value in an error message. */
export function describeValue(value: GgufValue | undefined): string {
  if (ArrayBuffer.isView(value)) return `an array of ${value.length} numbers`;
  return Array.isArray(value) ? `an array of ${value.length}` : kindOf(value);
}
