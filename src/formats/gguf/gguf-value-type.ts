/** Value types of GGUF metadata, by their numbers in the file (ggml's `enum gguf_type`). Hosts are little-endian, like the file. */

/** An array of numbers, with the element type of the file. */
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

export interface NumberLayout {
  readonly id: number;
  readonly bytes: number;
  /** Views bytes as an array of the type. */
  readonly view: (buffer: ArrayBuffer) => GgufNumbers;
  readonly decode: (bytes: Buffer, at: number) => number | bigint;
  readonly encode: (value: number | bigint) => Uint8Array;
}

const encoded = (numbers: GgufNumbers) => new Uint8Array(numbers.buffer, 0, numbers.byteLength);

export const numberTypes = {
  u8: {
    id: 0,
    bytes: 1,
    view: (b) => new Uint8Array(b),
    decode: (b, at) => b.readUInt8(at),
    encode: (v) => Uint8Array.of(Number(v)),
  },
  i8: {
    id: 1,
    bytes: 1,
    view: (b) => new Int8Array(b),
    decode: (b, at) => b.readInt8(at),
    encode: (v) => encoded(Int8Array.of(Number(v))),
  },
  u16: {
    id: 2,
    bytes: 2,
    view: (b) => new Uint16Array(b),
    decode: (b, at) => b.readUInt16LE(at),
    encode: (v) => encoded(Uint16Array.of(Number(v))),
  },
  i16: {
    id: 3,
    bytes: 2,
    view: (b) => new Int16Array(b),
    decode: (b, at) => b.readInt16LE(at),
    encode: (v) => encoded(Int16Array.of(Number(v))),
  },
  u32: {
    id: 4,
    bytes: 4,
    view: (b) => new Uint32Array(b),
    decode: (b, at) => b.readUInt32LE(at),
    encode: (v) => encoded(Uint32Array.of(Number(v))),
  },
  i32: {
    id: 5,
    bytes: 4,
    view: (b) => new Int32Array(b),
    decode: (b, at) => b.readInt32LE(at),
    encode: (v) => encoded(Int32Array.of(Number(v))),
  },
  f32: {
    id: 6,
    bytes: 4,
    view: (b) => new Float32Array(b),
    decode: (b, at) => b.readFloatLE(at),
    encode: (v) => encoded(Float32Array.of(Number(v))),
  },
  u64: {
    id: 10,
    bytes: 8,
    view: (b) => new BigUint64Array(b),
    decode: (b, at) => narrow(b.readBigUInt64LE(at)),
    encode: (v) => encoded(BigUint64Array.of(BigInt(v))),
  },
  i64: {
    id: 11,
    bytes: 8,
    view: (b) => new BigInt64Array(b),
    decode: (b, at) => narrow(b.readBigInt64LE(at)),
    encode: (v) => encoded(BigInt64Array.of(BigInt(v))),
  },
  f64: {
    id: 12,
    bytes: 8,
    view: (b) => new Float64Array(b),
    decode: (b, at) => b.readDoubleLE(at),
    encode: (v) => encoded(Float64Array.of(Number(v))),
  },
} as const satisfies Readonly<Record<string, NumberLayout>>;

export type NumberType = keyof typeof numberTypes;

export const BOOL = 7;
export const STRING = 8;
export const ARRAY = 9;

const byId: ReadonlyMap<number, NumberLayout> = new Map(Object.values(numberTypes).map((type) => [type.id, type]));

/** The number type with this id; undefined for strings, booleans and arrays. */
export function numberType(id: number): NumberLayout | undefined {
  return byId.get(id);
}

/** Converts a 64-bit integer to a number if it is a safe integer. */
function narrow(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

/** The smallest type that holds a number, or the element type of a typed array. */
export function numberTypeOf(value: number | bigint | GgufNumbers): NumberType {
  if (typeof value === "object") return arrayType(value);
  if (typeof value === "number" && (!Number.isSafeInteger(value) || Object.is(value, -0))) {
    return Object.is(Math.fround(value), value) ? "f32" : "f64";
  }
  if (value >= 0) return value <= 0xffff_ffff ? "u32" : "u64";
  return value >= -0x8000_0000 ? "i32" : "i64";
}

function arrayType(values: GgufNumbers): NumberType {
  if (values instanceof Uint8Array) return "u8";
  if (values instanceof Int8Array) return "i8";
  if (values instanceof Uint16Array) return "u16";
  if (values instanceof Int16Array) return "i16";
  if (values instanceof Uint32Array) return "u32";
  if (values instanceof Int32Array) return "i32";
  if (values instanceof Float32Array) return "f32";
  if (values instanceof BigUint64Array) return "u64";
  if (values instanceof BigInt64Array) return "i64";
  return "f64";
}
