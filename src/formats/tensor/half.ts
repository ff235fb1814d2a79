/** Conversions between float32 and the two 16-bit float types. */

const scratch = new Float32Array(1);
const scratchBits = new Uint32Array(scratch.buffer);

/** The value of an IEEE 754 half (f16); exact. */
export function halfToFloat(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (1024 + fraction) * 2 ** (exponent - 25);
}

/** The nearest half of a float32, ties to even; from 65,520 on infinity. */
export function floatToHalf(value: number): number {
  scratch[0] = value;
  const bits = scratchBits[0] as number;
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fff_ffff;
  if (magnitude > 0x7f80_0000) return sign | 0x7e00; // NaN
  if (magnitude >= 0x477f_f000) return sign | 0x7c00; // from 65,520 on the nearest is infinity
  if (magnitude >= 0x3880_0000) {
    // Normal: rebias the exponent by 112, drop 13 bits of the fraction, to the nearest even.
    return sign | ((magnitude - 0x3800_0000 + 0xfff + ((magnitude >> 13) & 1)) >>> 13);
  }
  // Subnormal: a multiple of 2^-24. The product is exact; adding and subtracting 2^52 rounds it to an integer, ties to even.
  const scaled = Math.abs(scratch[0] as number) * 2 ** 24;
  return sign | (scaled + 2 ** 52 - 2 ** 52);
}

/** The value of a bfloat16: the upper half of a float32; exact. */
export function bfloat16ToFloat(bits: number): number {
  scratchBits[0] = bits << 16;
  return scratch[0] as number;
}

/** The nearest bfloat16 of a float32, ties to even. */
export function floatToBfloat16(value: number): number {
  scratch[0] = value;
  const bits = scratchBits[0] as number;
  if ((bits & 0x7fff_ffff) > 0x7f80_0000) return (bits >>> 16) | 0x40; // NaN stays NaN
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}
