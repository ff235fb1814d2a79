import { dequantiseIq4Nl, dequantiseIq4Xs } from "./dequantise-iq4.ts";
import { dequantiseQ2K, dequantiseQ3K, dequantiseQ4K, dequantiseQ5K, dequantiseQ6K } from "./dequantise-k.ts";
import { bfloat16ToFloat, halfToFloat } from "./half.ts";
import type { StoredTensor, TensorType } from "./tensor.ts";
import { typeLayout } from "./tensor-type.ts";

/** Writes one block's values to `out` from `to` on. Products are exact in a double, so each value is rounded once, to float32. */
export type BlockDequantiser = (block: DataView, out: Float32Array, to: number) => void;

const blockDequantisers: Partial<Record<TensorType, BlockDequantiser>> = {
  Q4_0: dequantiseQ4_0,
  Q4_1: dequantiseQ4_1,
  Q5_0: dequantiseQ5_0,
  Q5_1: dequantiseQ5_1,
  Q8_0: dequantiseQ8_0,
  Q2_K: dequantiseQ2K,
  Q3_K: dequantiseQ3K,
  Q4_K: dequantiseQ4K,
  Q5_K: dequantiseQ5K,
  Q6_K: dequantiseQ6K,
  IQ4_NL: dequantiseIq4Nl,
  IQ4_XS: dequantiseIq4Xs,
};

/** Readers of element types. */
const elementReaders: Partial<Record<TensorType, (bytes: DataView, offset: number) => number>> = {
  F64: (bytes, offset) => bytes.getFloat64(offset, true),
  F16: (bytes, offset) => halfToFloat(bytes.getUint16(offset, true)),
  BF16: (bytes, offset) => bfloat16ToFloat(bytes.getUint16(offset, true)),
  I32: (bytes, offset) => bytes.getInt32(offset, true),
  I16: (bytes, offset) => bytes.getInt16(offset, true),
  I8: (bytes, offset) => bytes.getInt8(offset),
  U8: (bytes, offset) => bytes.getUint8(offset),
};

/**
 * Converts stored elements or blocks to float32, bit for bit like ggml's C code. `out` has as many elements as `bytes`.
 * Written for readability: the fast kernels are tested against it.
 * Layouts: ggml-common.h and ggml-quants.c of https://github.com/ggml-org/ggml
 */
export function dequantise(type: TensorType, bytes: Uint8Array, out: Float32Array): void {
  const { blockSize, blockBytes } = typeLayout(type);
  const nBlocks = bytes.length / blockBytes;
  if (nBlocks * blockSize !== out.length) {
    throw new RangeError(
      `${bytes.length} bytes of ${type} are ${nBlocks * blockSize} elements, expected ${out.length}`,
    );
  }
  if (type === "F32") {
    // Hosts are little-endian, like the files: the bits are copied, NaNs included.
    new Uint8Array(out.buffer, out.byteOffset, out.byteLength).set(bytes);
    return;
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const readElement = elementReaders[type];
  if (readElement !== undefined) {
    for (let i = 0; i < out.length; i++) out[i] = readElement(view, i * blockBytes);
    return;
  }
  const readBlock = blockDequantisers[type];
  if (readBlock === undefined) throw new RangeError(`${type} cannot be converted to float32`);
  for (let i = 0; i < nBlocks; i++) {
    readBlock(new DataView(view.buffer, view.byteOffset + i * blockBytes, blockBytes), out, i * blockSize);
  }
}

/** All of a tensor's values as float32, row-major. */
export function toFloat32(tensor: StoredTensor): Float32Array<ArrayBuffer> {
  const out = new Float32Array(tensor.shape.reduce((product, dimension) => product * dimension, 1));
  dequantise(tensor.type, tensor.bytes, out);
  return out;
}

// Nibbles of the types with blocks of 32: byte j holds element j in its lower half and element j + 16 in its upper half.

function dequantiseQ4_0(block: DataView, out: Float32Array, to: number): void {
  const scale = halfToFloat(block.getUint16(0, true));
  for (let j = 0; j < 16; j++) {
    const byte = block.getUint8(2 + j);
    out[to + j] = ((byte & 15) - 8) * scale;
    out[to + j + 16] = ((byte >> 4) - 8) * scale;
  }
}

function dequantiseQ4_1(block: DataView, out: Float32Array, to: number): void {
  const scale = halfToFloat(block.getUint16(0, true));
  const minimum = halfToFloat(block.getUint16(2, true));
  for (let j = 0; j < 16; j++) {
    const byte = block.getUint8(4 + j);
    out[to + j] = (byte & 15) * scale + minimum;
    out[to + j + 16] = (byte >> 4) * scale + minimum;
  }
}

function dequantiseQ5_0(block: DataView, out: Float32Array, to: number): void {
  const scale = halfToFloat(block.getUint16(0, true));
  const fifthBits = block.getUint32(2, true);
  for (let j = 0; j < 16; j++) {
    const byte = block.getUint8(6 + j);
    out[to + j] = (((byte & 15) | (((fifthBits >>> j) & 1) << 4)) - 16) * scale;
    out[to + j + 16] = (((byte >> 4) | (((fifthBits >>> (j + 16)) & 1) << 4)) - 16) * scale;
  }
}

function dequantiseQ5_1(block: DataView, out: Float32Array, to: number): void {
  const scale = halfToFloat(block.getUint16(0, true));
  const minimum = halfToFloat(block.getUint16(2, true));
  const fifthBits = block.getUint32(4, true);
  for (let j = 0; j < 16; j++) {
    const byte = block.getUint8(8 + j);
    out[to + j] = ((byte & 15) | (((fifthBits >>> j) & 1) << 4)) * scale + minimum;
    out[to + j + 16] = ((byte >> 4) | (((fifthBits >>> (j + 16)) & 1) << 4)) * scale + minimum;
  }
}

function dequantiseQ8_0(block: DataView, out: Float32Array, to: number): void {
  const scale = halfToFloat(block.getUint16(0, true));
  for (let j = 0; j < 32; j++) out[to + j] = block.getInt8(2 + j) * scale;
}
