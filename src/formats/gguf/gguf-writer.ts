import { type FilePiece, writeOutput, writeOutputInTurns } from "../files/write-output.ts";
import { byteLength, ggmlTypeId, type TensorType, typeLayout } from "../tensor/tensor-type.ts";
import type { GgufNumbers, GgufValue } from "./gguf-metadata.ts";
import { ARRAY, BOOL, type NumberType, numberTypeOf, numberTypes, STRING } from "./gguf-value-type.ts";

/**
 * A value like those of `GgufFile.metadata`, or a number with an explicit type. A whole number is written as u32 or i32 if
 * it fits, else as u64 or i64; a fraction as f32 if that is exact, else as f64.
 */
export type GgufValueToWrite = GgufValue | { readonly type: NumberType; readonly value: number | bigint };

export interface GgufTensorToWrite {
  readonly name: string;
  /** In GGUF's order, fastest first: [in, out] for a linear layer. */
  readonly dimensions: readonly number[];
  readonly type: TensorType;
  /** All bytes, or pieces of them, read one at a time. Without data: zeros, as a hole in the file. */
  readonly data?: Uint8Array | Iterable<Uint8Array>;
}

export interface GgufToWrite {
  readonly metadata: Iterable<readonly [string, GgufValueToWrite]>;
  readonly tensors: readonly GgufTensorToWrite[];
  /** Written as general.alignment. Default: the metadata's value, else 32. */
  readonly alignment?: number;
}

const VERSION = 3;
const DEFAULT_ALIGNMENT = 32;

/**
 * Writes a GGUF file (version 3) atomically, with one piece of data in memory at a time.
 * Errors: those of `writeOutput`; RangeError for invalid content, such as data that does not fit its shape.
 * Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 */
export function writeGguf(path: string, file: GgufToWrite): void {
  writeOutput(path, piecesOf(file));
}

/** Like `writeGguf`, for large files: yields to the event loop after each piece, and can be aborted by `signal`. */
export async function writeGgufInTurns(path: string, file: GgufToWrite, signal?: AbortSignal): Promise<void> {
  await writeOutputInTurns(path, piecesOf(file), signal);
}

/** The content of the file, in order. */
function piecesOf({ metadata, tensors, alignment: explicit }: GgufToWrite): Iterable<FilePiece> {
  const values = new Map(metadata);
  if (explicit !== undefined) values.set("general.alignment", { type: "u32", value: explicit });
  const alignment = Number(plain(values.get("general.alignment") ?? DEFAULT_ALIGNMENT));
  const sizes = tensors.map(sizeOf);
  const header = new Header();
  header.raw(Buffer.from("GGUF"));
  header.number("u32", VERSION);
  header.number("u64", tensors.length);
  header.number("u64", values.size);
  for (const [key, value] of values) header.entry(key, value);
  let offset = 0;
  for (const [i, tensor] of tensors.entries()) {
    header.tensorInfo(tensor, offset);
    offset = align(offset + (sizes[i] ?? 0), alignment);
  }
  return withData(header.bytes(), tensors, sizes, alignment);
}

function* withData(
  header: Uint8Array,
  tensors: readonly GgufTensorToWrite[],
  sizes: readonly number[],
  alignment: number,
): Generator<FilePiece> {
  yield header;
  let position = header.length;
  for (const [i, { name, data }] of tensors.entries()) {
    const size = sizes[i] ?? 0;
    yield align(position, alignment) - position;
    position = align(position, alignment) + size;
    let left = size;
    for (const piece of data === undefined ? [size] : data instanceof Uint8Array ? [data] : data) {
      left -= typeof piece === "number" ? piece : piece.length;
      yield piece;
    }
    if (left !== 0) throw new RangeError(`tensor ${name}: ${size - left} bytes of data, expected ${size}`);
  }
  // Some readers require the last tensor to be padded, too.
  yield align(position, alignment) - position;
}

function sizeOf({ name, dimensions, type }: GgufTensorToWrite): number {
  const { blockSize } = typeLayout(type);
  const nBytes = byteLength(
    type,
    dimensions.reduce((product, dimension) => product * dimension, 1),
  );
  if (nBytes === undefined || !Number.isSafeInteger(nBytes) || (dimensions[0] ?? 1) % blockSize !== 0) {
    throw new RangeError(`tensor ${name}: [${dimensions.join(", ")}] cannot be ${type}`);
  }
  return nBytes;
}

function align(offset: number, alignment: number): number {
  return Math.ceil(offset / alignment) * alignment;
}

function isTyped(value: GgufValueToWrite): value is Exclude<GgufValueToWrite, GgufValue> {
  return typeof value === "object" && "type" in value;
}

function plain(value: GgufValueToWrite): GgufValue {
  return isTyped(value) ? value.value : value;
}

/** Builds the bytes before the data. */
class Header {
  readonly #pieces: Uint8Array[] = [];

  bytes(): Uint8Array {
    return Buffer.concat(this.#pieces);
  }

  raw(bytes: Uint8Array): void {
    this.#pieces.push(bytes);
  }

  number(type: NumberType, value: number | bigint): void {
    this.raw(numberTypes[type].encode(value));
  }

  string(text: string): void {
    const bytes = Buffer.from(text);
    this.number("u64", bytes.length);
    this.raw(bytes);
  }

  entry(key: string, value: GgufValueToWrite): void {
    this.string(key);
    this.number("u32", typeIdOf(value));
    this.value(value);
  }

  value(value: GgufValueToWrite): void {
    if (isTyped(value)) this.number(value.type, value.value);
    else if (typeof value === "string") this.string(value);
    else if (typeof value === "boolean") this.number("u8", value ? 1 : 0);
    else if (typeof value === "object") this.#array(value);
    else this.number(numberTypeOf(value), value);
  }

  #array(values: GgufNumbers | readonly GgufValue[]): void {
    if (ArrayBuffer.isView(values)) {
      this.number("u32", numberTypes[numberTypeOf(values)].id);
      this.number("u64", values.length);
      this.raw(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
      return;
    }
    const type = values[0] === undefined ? STRING : typeIdOf(values[0]);
    if ((type !== STRING && type !== BOOL && type !== ARRAY) || values.some((value) => typeIdOf(value) !== type)) {
      throw new RangeError(
        "a plain array holds strings, booleans or arrays, all of one type; numbers need a typed array",
      );
    }
    this.number("u32", type);
    this.number("u64", values.length);
    for (const value of values) this.value(value);
  }

  tensorInfo({ name, dimensions, type }: GgufTensorToWrite, offset: number): void {
    const typeId = ggmlTypeId(type);
    if (typeId === undefined) throw new RangeError(`tensor ${name}: GGUF has no ${type}`);
    this.string(name);
    this.number("u32", dimensions.length);
    for (const dimension of dimensions) this.number("u64", dimension);
    this.number("u32", typeId);
    this.number("u64", offset);
  }
}

function typeIdOf(value: GgufValueToWrite): number {
  if (isTyped(value)) return numberTypes[value.type].id;
  if (typeof value === "string") return STRING;
  if (typeof value === "boolean") return BOOL;
  if (typeof value === "object") return ARRAY;
  return numberTypes[numberTypeOf(value)].id;
}
