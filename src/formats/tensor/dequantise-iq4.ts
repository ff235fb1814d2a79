import { halfToFloat } from "./half.ts";
import type { TypeTable } from "./type-layout.ts";

/** Values of the 16 nibbles of IQ4_NL and IQ4_XS (ggml-common.h, `kvalues_iq4nl`), denser around 0. */
const iq4Values: Int8Array = Int8Array.of(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113);

/** f16 scale, then nibbles as in Q4_0. */
function dequantiseIq4Nl(block: DataView, out: Float32Array, to: number): void {
  dequantiseNibbles(block, 2, halfToFloat(block.getUint16(0, true)), out, to);
}

/** 8 groups of 32 with 6-bit scales (minus 32): f16 super-scale, upper 2 bits of each in bytes 2–3, lower 4 in bytes 4–7. */
function dequantiseIq4Xs(block: DataView, out: Float32Array, to: number): void {
  const scale = halfToFloat(block.getUint16(0, true));
  const highBits = block.getUint16(2, true);
  for (let group = 0; group < 8; group++) {
    const low = (block.getUint8(4 + (group >> 1)) >> ((group & 1) * 4)) & 15;
    const high = (highBits >> (group * 2)) & 3;
    dequantiseNibbles(block, 8 + group * 16, scale * ((low | (high << 4)) - 32), out, to + group * 32);
  }
}

function dequantiseNibbles(block: DataView, from: number, scale: number, out: Float32Array, to: number): void {
  for (let j = 0; j < 16; j++) {
    const byte = block.getUint8(from + j);
    out[to + j] = scale * (iq4Values[byte & 15] as number);
    out[to + j + 16] = scale * (iq4Values[byte >> 4] as number);
  }
}

/** Types of nibbles that index a table. */
export const iq4Types = {
  // nibbles that index a table of 16 values
  IQ4_NL: { blockSize: 32, blockBytes: 2 + 16, ggml: 20, block: dequantiseIq4Nl, scales: { scale: 0 } },
  IQ4_XS: { blockSize: 256, blockBytes: 2 + 2 + 4 + 128, ggml: 23, block: dequantiseIq4Xs, scales: { scale: 0 } },
} as const satisfies TypeTable;
