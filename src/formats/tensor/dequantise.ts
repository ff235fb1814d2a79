import type { StoredTensor } from "./tensor.ts";
import { type TensorType, typeLayout } from "./tensor-type.ts";

/**
 * Converts stored elements or blocks to float32, bit for bit like ggml's C code. `out` has as many elements as `bytes`.
 * Written for readability: the fast kernels are tested against it.
 * Layouts: ggml-common.h and ggml-quants.c of https://github.com/ggml-org/ggml
 */
export function dequantise(type: TensorType, bytes: Uint8Array, out: Float32Array): void {
  const { blockSize, blockBytes, element, block } = typeLayout(type);
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
  if (element !== undefined) {
    for (let i = 0; i < out.length; i++) out[i] = element(view, i * blockBytes);
    return;
  }
  if (block === undefined) throw new RangeError(`${type} cannot be converted to float32`);
  for (let i = 0; i < nBlocks; i++) {
    block(new DataView(view.buffer, view.byteOffset + i * blockBytes, blockBytes), out, i * blockSize);
  }
}

/** All of a tensor's values as float32, row-major. */
export function toFloat32(tensor: StoredTensor): Float32Array<ArrayBuffer> {
  const out = new Float32Array(tensor.shape.reduce((product, dimension) => product * dimension, 1));
  dequantise(tensor.type, tensor.bytes, out);
  return out;
}
