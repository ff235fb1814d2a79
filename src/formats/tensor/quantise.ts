import { floatToBfloat16, floatToHalf } from "./half.ts";

/** Types that values can be stored as. */
export const storableTypes = ["F32", "F16", "BF16", "Q8_0"] as const;
export type StorableType = (typeof storableTypes)[number];

/** Values of a Q8_0 block, and its bytes: a half and 32 integers. */
const Q8_0_SIZE = 32;
const Q8_0_BYTES = 2 + Q8_0_SIZE;

/**
 * Stores float32 values as `type`, bit for bit like ggml's C code (`quantize_row_q8_0_ref`). Rounds to the nearest value, so
 * what is too large for 16 bits becomes infinite. @throws RangeError if Q8_0's blocks of 32 do not fit.
 */
export function quantise(type: StorableType, values: Float32Array): Uint8Array {
  switch (type) {
    case "F32":
      return new Uint8Array(values.slice().buffer);
    case "F16":
      return new Uint8Array(Uint16Array.from(values, floatToHalf).buffer);
    case "BF16":
      return new Uint8Array(Uint16Array.from(values, floatToBfloat16).buffer);
    case "Q8_0":
      return quantiseQ8(values);
  }
}

function quantiseQ8(values: Float32Array): Uint8Array {
  if (values.length % Q8_0_SIZE !== 0) throw new RangeError(`${values.length} values are not whole blocks of Q8_0`);
  const out = new Uint8Array((values.length / Q8_0_SIZE) * Q8_0_BYTES);
  const view = new DataView(out.buffer);
  for (let start = 0, at = 0; start < values.length; start += Q8_0_SIZE, at += Q8_0_BYTES) {
    let largest = 0;
    for (let i = 0; i < Q8_0_SIZE; i++) largest = Math.max(largest, Math.abs(values[start + i] as number));
    // The integers are rounded with the scale in float32, before it is rounded to a half.
    const scale = Math.fround(largest / 127);
    const inverse = scale === 0 ? 0 : Math.fround(1 / scale);
    view.setUint16(at, floatToHalf(scale), true);
    for (let i = 0; i < Q8_0_SIZE; i++) {
      view.setInt8(at + 2 + i, roundHalfAway(Math.fround((values[start + i] as number) * inverse)));
    }
  }
  return out;
}

/** C's roundf: `Math.round` rounds −0.5 up. */
function roundHalfAway(x: number): number {
  return Math.sign(x) * Math.floor(Math.abs(x) + 0.5);
}
