import { writeOutput } from "../files/write-output.ts";
import { byteLength, isSafetensorsType, type TensorType } from "../tensor/tensor-type.ts";

/** A tensor to store; `bytes` are little-endian and row-major, and their number matches type and shape. */
export interface TensorToWrite {
  readonly type: TensorType;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/** Alignment of the data in the reference implementation. */
const HEADER_ALIGNMENT = 8;

/** A tensor with the type and the values of a typed array. */
export function tensorOf(
  values: Float32Array | Float64Array | Int8Array | Int16Array | Int32Array | BigInt64Array | Uint8Array,
  shape: readonly number[] = [values.length],
): TensorToWrite {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  return { type: typeOf(values), shape, bytes };
}

function typeOf(values: ArrayBufferView): TensorType {
  if (values instanceof Float32Array) return "F32";
  if (values instanceof Float64Array) return "F64";
  if (values instanceof Int8Array) return "I8";
  if (values instanceof Int16Array) return "I16";
  if (values instanceof Int32Array) return "I32";
  if (values instanceof BigInt64Array) return "I64";
  return "U8";
}

/**
 * Writes a safetensors file atomically. Tensors are sorted by descending element size, then by name, as in the reference
 * implementation, so that each is aligned to its elements. Errors: those of `writeOutput`.
 */
export function writeSafetensors(
  path: string,
  tensors: ReadonlyMap<string, TensorToWrite> | Readonly<Record<string, TensorToWrite>>,
  metadata?: Readonly<Record<string, string>>,
): void {
  const entries = tensors instanceof Map ? [...tensors.entries()] : Object.entries(tensors);
  const ordered = entries.sort(
    ([nameA, a], [nameB, b]) => elementBytes(b) - elementBytes(a) || (nameA < nameB ? -1 : 1),
  );
  writeOutput(path, [makeHeader(ordered, metadata), ...ordered.map(([, tensor]) => tensor.bytes)]);
}

function elementBytes(tensor: TensorToWrite): number {
  return byteLength(tensor.type, 1) ?? 0;
}

function makeHeader(
  ordered: readonly (readonly [string, TensorToWrite])[],
  metadata?: Readonly<Record<string, string>>,
): Uint8Array {
  const header: [string, unknown][] = metadata === undefined ? [] : [["__metadata__", metadata]];
  let offset = 0;
  for (const [name, { type, shape, bytes }] of ordered) {
    const expected = byteLength(
      type,
      shape.reduce((product, dimension) => product * dimension, 1),
    );
    if (!isSafetensorsType(type) || expected !== bytes.length) {
      throw new RangeError(
        `tensor ${name}: ${bytes.length} bytes for ${type} [${shape.join(", ")}], expected ${expected}`,
      );
    }
    header.push([name, { dtype: type, shape, data_offsets: [offset, offset + bytes.length] }]);
    offset += bytes.length;
  }
  // Built as text, because a tensor may be called "__proto__".
  const json = Buffer.from(
    `{${header.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`).join(",")}}`,
  );
  const length = Math.ceil(json.length / HEADER_ALIGNMENT) * HEADER_ALIGNMENT;
  const bytes = Buffer.alloc(8 + length, " ");
  bytes.writeBigUInt64LE(BigInt(length), 0);
  json.copy(bytes, 8);
  return bytes;
}
