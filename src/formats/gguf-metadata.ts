import type { GgufCursor } from "./gguf-cursor.ts";
import { malformed, quote } from "./malformed.ts";

/**
 * A value of a GGUF file's metadata. Integers of 64 bits are numbers where they are safe integers, else bigints.
 * Arrays of numbers are typed arrays of the stored type, other arrays plain ones.
 */
export type GgufValue = string | number | bigint | boolean | GgufNumbers | readonly GgufValue[];

export type GgufNumbers =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array
  | BigUint64Array
  | BigInt64Array;

/** Published files have below 100 keys. */
const MAX_KEYS = 65_536;
/** A vocabulary of 256,000 tokens has about as many merges; 16 million leaves room. */
const MAX_ARRAY_LENGTH = 1 << 24;
/** No published file has arrays in arrays at all; the recursion must end. */
const MAX_ARRAY_DEPTH = 4;
/** A key with an empty name and a value of one byte. */
const MIN_KEY_BYTES = 8 + 4 + 1;

const STRING = 8;
const ARRAY = 9;

/** Fixed-size value types by number: bytes, and how an array of them is seen. Hosts are little-endian, as the file is. */
const numberTypes: Readonly<
  Record<number, { readonly bytes: number; readonly array: (buffer: ArrayBuffer) => GgufNumbers }>
> = {
  0: { bytes: 1, array: (b) => new Uint8Array(b) },
  1: { bytes: 1, array: (b) => new Int8Array(b) },
  2: { bytes: 2, array: (b) => new Uint16Array(b) },
  3: { bytes: 2, array: (b) => new Int16Array(b) },
  4: { bytes: 4, array: (b) => new Uint32Array(b) },
  5: { bytes: 4, array: (b) => new Int32Array(b) },
  6: { bytes: 4, array: (b) => new Float32Array(b) },
  10: { bytes: 8, array: (b) => new BigUint64Array(b) },
  11: { bytes: 8, array: (b) => new BigInt64Array(b) },
  12: { bytes: 8, array: (b) => new Float64Array(b) },
};
const BOOL = 7;

/** Reads all keys and values; a key that occurs twice is an error. */
export function readMetadata(cursor: GgufCursor, nKeys: number, path: string): Map<string, GgufValue> {
  const metadata = new Map<string, GgufValue>();
  for (let i = 0; i < nKeys; i++) {
    const key = cursor.string(`metadata key ${i + 1} of ${nKeys}`);
    const field = `metadata ${quote(key)}`;
    if (metadata.has(key)) throw malformed(path, field, "once", "twice");
    metadata.set(key, readValue(cursor, cursor.u32(`${field}, type`), field, path, 0));
  }
  return metadata;
}

/** How many keys a file of this length may claim. */
export function maxKeys(remaining: number): number {
  return Math.min(MAX_KEYS, Math.floor(remaining / MIN_KEY_BYTES));
}

function readValue(cursor: GgufCursor, type: number, field: string, path: string, depth: number): GgufValue {
  switch (type) {
    case 0:
      return cursor.u8(field);
    case 1:
      return cursor.i8(field);
    case 2:
      return cursor.u16(field);
    case 3:
      return cursor.i16(field);
    case 4:
      return cursor.u32(field);
    case 5:
      return cursor.i32(field);
    case 6:
      return cursor.f32(field);
    case BOOL:
      return readBoolean(cursor.u8(field), field, path);
    case STRING:
      return cursor.string(field);
    case ARRAY:
      return readArray(cursor, field, path, depth + 1);
    case 10:
      return narrow(cursor.u64(field));
    case 11:
      return narrow(cursor.i64(field));
    case 12:
      return cursor.f64(field);
    default:
      throw malformed(path, `${field}, type`, "a value type from 0 to 12", type);
  }
}

function readArray(cursor: GgufCursor, field: string, path: string, depth: number): GgufNumbers | GgufValue[] {
  if (depth > MAX_ARRAY_DEPTH) {
    throw malformed(path, field, `arrays at most ${MAX_ARRAY_DEPTH} deep`, "deeper ones");
  }
  const type = cursor.u32(`${field}, type of elements`);
  const numbers = numberTypes[type];
  // An element takes at least: its bytes; a string its length; an array its type and length.
  const minBytes = numbers?.bytes ?? (type === STRING ? 8 : type === ARRAY ? 12 : 1);
  const limit = Math.min(MAX_ARRAY_LENGTH, Math.floor(Math.max(0, cursor.remaining - 8) / minBytes));
  const length = cursor.count(`${field}, length of array`, limit, "longest array, and what the file can hold");
  if (numbers !== undefined) return numbers.array(cursor.bytes(length * numbers.bytes, field).buffer);
  if (type !== STRING && type !== ARRAY && type !== BOOL) {
    throw malformed(path, `${field}, type of elements`, "a value type from 0 to 12", type);
  }
  const values: GgufValue[] = [];
  for (let i = 0; i < length; i++) values.push(readValue(cursor, type, field, path, depth));
  return values;
}

function readBoolean(byte: number, field: string, path: string): boolean {
  if (byte > 1) throw malformed(path, field, "a boolean, 0 or 1", byte);
  return byte === 1;
}

function narrow(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}
