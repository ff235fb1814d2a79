import { halfToFloat } from "./half.ts";
import type { TypeTable } from "./type-layout.ts";

// The K types: blocks of 256. An f16 super-scale times a small integer is the scale of a group. Super-scale, group
// scale and value together have at most 24 significant bits, so each product is exact before the one rounding at the end.

/** 16 groups of 16: bytes 0–15 hold scale (lower) and minimum (upper nibble) of each; 2 bits per value. */
function dequantiseQ2K(block: DataView, out: Float32Array, to: number): void {
  const scale = halfToFloat(block.getUint16(80, true));
  const minScale = halfToFloat(block.getUint16(82, true));
  for (let i = 0; i < 256; i++) {
    const group = block.getUint8(i >> 4);
    const value = (block.getUint8(16 + byteOfQuarter(i)) >> shiftOfQuarter(i)) & 3;
    out[to + i] = value * (scale * (group & 15)) - minScale * (group >> 4);
  }
}

/** 16 groups of 16 with 6-bit scales (minus 32); 2 bits per value, a third in bytes 0–31, where 0 means minus 4. */
function dequantiseQ3K(block: DataView, out: Float32Array, to: number): void {
  const scale = halfToFloat(block.getUint16(108, true));
  for (let i = 0; i < 256; i++) {
    const low = (block.getUint8(32 + byteOfQuarter(i)) >> shiftOfQuarter(i)) & 3;
    const high = (block.getUint8(i & 31) >> (i >> 5)) & 1;
    out[to + i] = (low - (high ? 0 : 4)) * (scale * (scaleOfQ3K(block, i >> 4) - 32));
  }
}

/** 8 groups of 32 with 6-bit scales and minimums; 4 bits per value. */
function dequantiseQ4K(block: DataView, out: Float32Array, to: number): void {
  dequantiseQ45K(block, out, to, 16, undefined);
}

/** As Q4_K, with fifth bits in bytes 16–47. */
function dequantiseQ5K(block: DataView, out: Float32Array, to: number): void {
  dequantiseQ45K(block, out, to, 48, 16);
}

function dequantiseQ45K(
  block: DataView,
  out: Float32Array,
  to: number,
  nibbles: number,
  fifthBits: number | undefined,
): void {
  const scale = halfToFloat(block.getUint16(0, true));
  const minScale = halfToFloat(block.getUint16(2, true));
  for (let group = 0; group < 8; group++) {
    const groupScale = scale * scaleOfQ45K(block, group);
    const groupMinimum = minScale * minimumOfQ45K(block, group);
    for (let j = 0; j < 32; j++) {
      // 32 bytes hold two groups: the even one in the lower nibbles, the odd one in the upper.
      const nibble = (block.getUint8(nibbles + (group >> 1) * 32 + j) >> ((group & 1) * 4)) & 15;
      const fifth = fifthBits === undefined ? 0 : ((block.getUint8(fifthBits + j) >> group) & 1) << 4;
      out[to + group * 32 + j] = (nibble | fifth) * groupScale - groupMinimum;
    }
  }
}

/** 16 groups of 16 with 8-bit scales; 4 lower bits in bytes 0–127, 2 upper ones in bytes 128–191, minus 32. */
function dequantiseQ6K(block: DataView, out: Float32Array, to: number): void {
  const scale = halfToFloat(block.getUint16(208, true));
  for (let i = 0; i < 256; i++) {
    const half = i >> 7;
    const quarter = (i >> 5) & 3;
    const j = i & 31;
    const low = (block.getUint8(half * 64 + (quarter & 1) * 32 + j) >> ((quarter >> 1) * 4)) & 15;
    const high = (block.getUint8(128 + half * 32 + j) >> (quarter * 2)) & 3;
    out[to + i] = ((low | (high << 4)) - 32) * (scale * block.getInt8(192 + (i >> 4)));
  }
}

/** Values of 2 bits: each half block of 128 takes 32 bytes, quarter q of it in bits 2q and 2q + 1. */
function byteOfQuarter(i: number): number {
  return (i >> 7) * 32 + (i & 31);
}

function shiftOfQuarter(i: number): number {
  return ((i >> 5) & 3) * 2;
}

/** 16 scales of 6 bits in bytes 96–107: eight bytes of lower nibbles, four bytes of upper pairs of bits. */
function scaleOfQ3K(block: DataView, group: number): number {
  const low = (block.getUint8(96 + (group & 7)) >> ((group >> 3) * 4)) & 15;
  const high = (block.getUint8(104 + (group & 3)) >> ((group >> 2) * 2)) & 3;
  return low | (high << 4);
}

/** 8 scales and 8 minimums of 6 bits in bytes 4–15: those of groups 4–7 have their upper 2 bits in the bytes of groups 0–3. */
function scaleOfQ45K(block: DataView, group: number): number {
  if (group < 4) return block.getUint8(4 + group) & 63;
  return (block.getUint8(8 + group) & 15) | ((block.getUint8(group) >> 6) << 4);
}

function minimumOfQ45K(block: DataView, group: number): number {
  if (group < 4) return block.getUint8(8 + group) & 63;
  return (block.getUint8(8 + group) >> 4) | ((block.getUint8(4 + group) >> 6) << 4);
}

/** The K types. */
export const kTypes = {
  // K types: 256 elements in groups of 16 or 32; group scales are quantised, with one or two f16 super-scales
  Q2_K: {
    blockSize: 256,
    blockBytes: 16 + 64 + 4,
    ggml: 10,
    block: dequantiseQ2K,
    scales: { scale: 80, minimum: 82, minimumOverScale: 1.5 },
  },
  Q3_K: { blockSize: 256, blockBytes: 32 + 64 + 12 + 2, ggml: 11, block: dequantiseQ3K, scales: { scale: 108 } },
  Q4_K: {
    blockSize: 256,
    blockBytes: 4 + 12 + 128,
    ggml: 12,
    block: dequantiseQ4K,
    scales: { scale: 0, minimum: 2, minimumOverScale: 7.5 },
  },
  Q5_K: {
    blockSize: 256,
    blockBytes: 4 + 12 + 32 + 128,
    ggml: 13,
    block: dequantiseQ5K,
    scales: { scale: 0, minimum: 2, minimumOverScale: 15.5 },
  },
  Q6_K: { blockSize: 256, blockBytes: 128 + 64 + 16 + 2, ggml: 14, block: dequantiseQ6K, scales: { scale: 208 } },
} as const satisfies TypeTable;
