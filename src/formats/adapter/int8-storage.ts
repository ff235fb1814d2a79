import { malformed, quote } from "../files/malformed.ts";
import type { TensorToWrite } from "../safetensors/safetensors-writer.ts";
import { tensorOf } from "../safetensors/safetensors-writer.ts";
import { toFloat32 } from "../tensor/dequantise.ts";
import { floatToHalf, halfToFloat } from "../tensor/half.ts";
import type { StoredTensor } from "../tensor/tensor.ts";
import { floatTypes } from "../tensor/tensor-type.ts";

/** Columns per scale: few enough that one outlier affects little, enough that the scales add only 6 % to the size. */
const GROUP = 32;
/** Symmetric: −128 is not used. */
const MAX_INTEGER = 127;

const SCALE_SUFFIX = "_scale";

/**
 * Quantises a matrix to `NAME`, int8 [rows, cols], and `NAME_scale`, f16 [rows, ⌈cols / 32⌉]; value = integer × scale.
 * Each scale is the largest magnitude of its 32 columns / 127, rounded up to an f16 so that nothing is clipped.
 */
export function quantiseInt8(
  name: string,
  values: Float32Array,
  rows: number,
  cols: number,
): [string, TensorToWrite][] {
  const nGroups = Math.ceil(cols / GROUP);
  const integers = new Int8Array(rows * cols);
  const scales = new Uint16Array(rows * nGroups);
  for (let row = 0; row < rows; row++) {
    for (let group = 0; group < nGroups; group++) {
      const from = row * cols + group * GROUP;
      const part = values.subarray(from, Math.min(from + GROUP, (row + 1) * cols));
      const bits = scaleAtLeast(part.reduce((max, value) => Math.max(max, Math.abs(value)), 0) / MAX_INTEGER);
      scales[row * nGroups + group] = bits;
      const scale = halfToFloat(bits);
      if (scale > 0)
        integers.set(
          part.map((value) => Math.round(value / scale)),
          from,
        );
    }
  }
  const scaleBytes = new Uint8Array(scales.buffer);
  return [
    [name, tensorOf(integers, [rows, cols])],
    [name + SCALE_SUFFIX, { type: "F16", shape: [rows, nGroups], bytes: scaleBytes }],
  ];
}

function scaleAtLeast(value: number): number {
  const bits = floatToHalf(value);
  return halfToFloat(bits) < value ? bits + 1 : bits;
}

/** Whether a tensor holds the scales of another one. */
export function isScale(name: string, tensors: ReadonlyMap<string, StoredTensor>): boolean {
  return name.endsWith(SCALE_SUFFIX) && tensors.has(name.slice(0, -SCALE_SUFFIX.length));
}

/** Checks that `readFloats` can read a tensor: its type, and its scale. Errors: "file-malformed". */
export function checkFloats(tensor: StoredTensor, tensors: ReadonlyMap<string, StoredTensor>, path: string): void {
  if (!floatTypes.has(tensor.type)) checkInt8(tensor, tensors, path);
}

/** The values of a float tensor, or of an int8 matrix with its scales; all finite. Errors: "file-malformed". */
export function readFloats(
  tensor: StoredTensor,
  tensors: ReadonlyMap<string, StoredTensor>,
  path: string,
): Float32Array<ArrayBuffer> {
  const values = readValues(tensor, tensors, path);
  // A loop, since an adapter has millions of values that are read before the first token.
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as number;
    if (Number.isFinite(value)) continue;
    throw malformed(path, `tensor ${quote(tensor.name)}, value ${i}`, "a finite number", String(value));
  }
  return values;
}

/** Checks the shape and the scales of an int8 matrix. */
function checkInt8(tensor: StoredTensor, tensors: ReadonlyMap<string, StoredTensor>, path: string) {
  const field = `tensor ${quote(tensor.name)}`;
  const scale = tensors.get(tensor.name + SCALE_SUFFIX);
  if (tensor.type !== "I8" || scale === undefined) {
    throw malformed(path, field, "F32, F16, BF16, or I8 with a scale", tensor.type);
  }
  const [rows, cols] = tensor.shape;
  if (rows === undefined || cols === undefined || tensor.shape.length !== 2) {
    throw malformed(path, field, "a matrix", `shape [${tensor.shape.join(", ")}]`);
  }
  const nGroups = Math.ceil(cols / GROUP);
  if (scale.type !== "F16" || scale.shape.length !== 2 || scale.shape[0] !== rows || scale.shape[1] !== nGroups) {
    throw malformed(path, `${field}, scale`, `F16 [${rows}, ${nGroups}]`, `${scale.type} [${scale.shape.join(", ")}]`);
  }
  return { rows, cols, nGroups, scale };
}

function readValues(
  tensor: StoredTensor,
  tensors: ReadonlyMap<string, StoredTensor>,
  path: string,
): Float32Array<ArrayBuffer> {
  if (floatTypes.has(tensor.type)) return toFloat32(tensor);
  const { rows, cols, nGroups, scale } = checkInt8(tensor, tensors, path);
  const { buffer, byteOffset, byteLength } = tensor.bytes;
  const integers = new Int8Array(buffer, byteOffset, byteLength);
  const values = new Float32Array(rows * cols);
  const scales = toFloat32(scale);
  for (let row = 0; row < rows; row++) {
    for (let group = 0; group < nGroups; group++) {
      const scaleOfGroup = scales[row * nGroups + group] as number;
      const end = row * cols + Math.min((group + 1) * GROUP, cols);
      for (let i = row * cols + group * GROUP; i < end; i++) values[i] = (integers[i] as number) * scaleOfGroup;
    }
  }
  return values;
}
