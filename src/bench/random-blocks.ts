import { dequantise } from "../formats/tensor/dequantise.ts";
import { floatToHalf } from "../formats/tensor/half.ts";
import { type TensorType, typeLayout } from "../formats/tensor/tensor-type.ts";
import type { BlockScales } from "../formats/tensor/type-layout.ts";

/** Marsaglia's xorshift32: fast enough to fill gigabytes. */
export class Xorshift32 {
  #state: number;

  constructor(seed: number) {
    this.#state = (seed ^ 0x9e3779b9) | 1;
  }

  fill(words: Uint32Array): void {
    let x = this.#state;
    for (let i = 0; i < words.length; i++) {
      x ^= x << 13;
      x ^= x >>> 17;
      x ^= x << 5;
      words[i] = x;
    }
    this.#state = x;
  }
}

/**
 * Random bytes of a tensor of `nElements` weights: random codes and group scales, with a super-scale for which the
 * weights' standard deviation is about `deviation`. Floats are uniform with that deviation.
 */
export function randomBlocks(
  type: TensorType,
  nElements: number,
  deviation: number,
  random: Xorshift32,
): Uint8Array<ArrayBuffer> {
  const { blockSize, blockBytes, scales: fields } = typeLayout(type);
  const bytes = new Uint8Array(Math.ceil(((nElements / blockSize) * blockBytes) / 4) * 4);
  random.fill(new Uint32Array(bytes.buffer));
  const result = bytes.subarray(0, (nElements / blockSize) * blockBytes);
  if (fields === undefined) return uniform(type, result, deviation);
  const view = new DataView(result.buffer, 0, result.length);
  setScale(view, fields, blockBytes, 1);
  // One scale for all blocks, from the deviation that a scale of 1 gives.
  const sample = new Float32Array(Math.min(nElements, 16 * blockSize));
  dequantise(type, result.subarray(0, (sample.length / blockSize) * blockBytes), sample);
  const squares = sample.reduce((sum, v) => sum + v * v, 0);
  setScale(view, fields, blockBytes, deviation / Math.sqrt(squares / sample.length));
  return result;
}

function setScale(view: DataView, fields: BlockScales, blockBytes: number, scale: number): void {
  const scaleBits = floatToHalf(scale);
  const minimumBits = floatToHalf(scale * (fields.minimumOverScale ?? 0));
  for (let at = 0; at < view.byteLength; at += blockBytes) {
    view.setUint16(at + fields.scale, scaleBits, true);
    if (fields.minimum !== undefined) view.setUint16(at + fields.minimum, minimumBits, true);
  }
}

function uniform(type: TensorType, bytes: Uint8Array<ArrayBuffer>, deviation: number): Uint8Array<ArrayBuffer> {
  const half = deviation * Math.sqrt(3);
  const view = new DataView(bytes.buffer, 0, bytes.length);
  if (type === "F32") {
    for (let at = 0; at < bytes.length; at += 4) {
      view.setFloat32(at, (view.getUint32(at, true) / 2 ** 31 - 1) * half, true);
    }
    return bytes;
  }
  const scratch = new DataView(new ArrayBuffer(4));
  for (let at = 0; at < bytes.length; at += 2) {
    const value = (view.getUint16(at, true) / 2 ** 15 - 1) * half;
    scratch.setFloat32(0, value);
    view.setUint16(at, type === "BF16" ? scratch.getUint16(0) : floatToHalf(value), true);
  }
  return bytes;
}
