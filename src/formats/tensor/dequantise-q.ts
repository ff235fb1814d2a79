import { halfToFloat } from "./half.ts";
import type { TypeTable } from "./type-layout.ts";

// Nibbles of the types with blocks of 32: byte j holds element j in its lower half and element j + 16 in its upper half.

function dequantiseQ40(block: DataView, out: Float32Array, to: number): void {
  const scale = halfToFloat(block.getUint16(0, true));
  for (let j = 0; j < 16; j++) {
    const byte = block.getUint8(2 + j);
    out[to + j] = ((byte & 15) - 8) * scale;
    out[to + j + 16] = ((byte >> 4) - 8) * scale;
  }
}

function dequantiseQ41(block: DataView, out: Float32Array, to: number): void {
  const scale = halfToFloat(block.getUint16(0, true));
  const minimum = halfToFloat(block.getUint16(2, true));
  for (let j = 0; j < 16; j++) {
    const byte = block.getUint8(4 + j);
    out[to + j] = (byte & 15) * scale + minimum;
    out[to + j + 16] = (byte >> 4) * scale + minimum;
  }
}

function dequantiseQ50(block: DataView, out: Float32Array, to: number): void {
  const scale = halfToFloat(block.getUint16(0, true));
  const fifthBits = block.getUint32(2, true);
  for (let j = 0; j < 16; j++) {
    const byte = block.getUint8(6 + j);
    out[to + j] = (((byte & 15) | (((fifthBits >>> j) & 1) << 4)) - 16) * scale;
    out[to + j + 16] = (((byte >> 4) | (((fifthBits >>> (j + 16)) & 1) << 4)) - 16) * scale;
  }
}

function dequantiseQ51(block: DataView, out: Float32Array, to: number): void {
  const scale = halfToFloat(block.getUint16(0, true));
  const minimum = halfToFloat(block.getUint16(2, true));
  const fifthBits = block.getUint32(4, true);
  for (let j = 0; j < 16; j++) {
    const byte = block.getUint8(8 + j);
    out[to + j] = ((byte & 15) | (((fifthBits >>> j) & 1) << 4)) * scale + minimum;
    out[to + j + 16] = ((byte >> 4) | (((fifthBits >>> (j + 16)) & 1) << 4)) * scale + minimum;
  }
}

function dequantiseQ80(block: DataView, out: Float32Array, to: number): void {
  const scale = halfToFloat(block.getUint16(0, true));
  for (let j = 0; j < 32; j++) out[to + j] = block.getInt8(2 + j) * scale;
}

/** Types with blocks of 32. */
export const qTypes = {
  // scale f16, then nibbles
  Q4_0: { blockSize: 32, blockBytes: 2 + 16, ggml: 2, block: dequantiseQ40, scales: { scale: 0 } },
  // scale and minimum f16, then nibbles
  Q4_1: {
    blockSize: 32,
    blockBytes: 4 + 16,
    ggml: 3,
    block: dequantiseQ41,
    scales: { scale: 0, minimum: 2, minimumOverScale: -7.5 },
  },
  // like Q4, with 32 fifth bits before the nibbles
  Q5_0: { blockSize: 32, blockBytes: 2 + 4 + 16, ggml: 6, block: dequantiseQ50, scales: { scale: 0 } },
  Q5_1: {
    blockSize: 32,
    blockBytes: 4 + 4 + 16,
    ggml: 7,
    block: dequantiseQ51,
    scales: { scale: 0, minimum: 2, minimumOverScale: -15.5 },
  },
  Q8_0: { blockSize: 32, blockBytes: 2 + 32, ggml: 8, block: dequantiseQ80, scales: { scale: 0 } },
} as const satisfies TypeTable;
