/** Floats as Python prints them. */
import { decimal } from "../strings/digits.ts";
import { strip } from "../strings/text.ts";

/** `repr(float)` */
export function showFloat(value: number): string {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  if (value === 0) return Object.is(value, -0) ? "-0.0" : "0.0";
  const [digits = "", exponentText = "0"] = Math.abs(value).toExponential().split("e");
  const exponent = Number(exponentText);
  const sign = value < 0 ? "-" : "";
  if (exponent < -4 || exponent >= 16) return `${sign}${digits}e${exponentOf(exponent)}`;
  const plain = digits.replace(".", "");
  if (exponent < 0) return `${sign}0.${"0".repeat(-exponent - 1)}${plain}`;
  const whole = plain.slice(0, exponent + 1).padEnd(exponent + 1, "0");
  return `${sign}${whole}.${plain.slice(exponent + 1) || "0"}`;
}

function exponentOf(exponent: number): string {
  return `${exponent < 0 ? "-" : "+"}${String(Math.abs(exponent)).padStart(2, "0")}`;
}

/** A finite float as a fraction of integers: numerator × 2^exponent. */
function fractionOf(value: number): { readonly numerator: bigint; readonly exponent: number } {
  const bytes = new DataView(new ArrayBuffer(8));
  bytes.setFloat64(0, Math.abs(value));
  const bits = bytes.getBigUint64(0);
  const raw = Number(bits >> 52n);
  const mantissa = bits & 0xfffffffffffffn;
  return raw === 0
    ? { numerator: mantissa, exponent: -1074 }
    : { numerator: mantissa | (1n << 52n), exponent: raw - 1075 };
}

function bitLength(value: bigint): number {
  return value.toString(2).length;
}

/** The float next to a quotient of integers, halves to even. */
export function nearestRatio(top: bigint, bottom: bigint): number {
  if (top === 0n) return bottom < 0n ? -0 : 0;
  const isNegative = top < 0n !== bottom < 0n;
  const [a, b] = [top < 0n ? -top : top, bottom < 0n ? -bottom : bottom];
  // More bits than a float has; the last one says whether there is a rest.
  const shift = 64 - bitLength(a) + bitLength(b);
  const [x, y] = shift > 0 ? [a << BigInt(shift), b] : [a, b << BigInt(-shift)];
  const quotient = (x / y) | (x % y === 0n ? 0n : 1n);
  const half = Math.trunc(shift / 2);
  const magnitude = Number(quotient) * 2 ** -half * 2 ** (half - shift);
  return isNegative ? -magnitude : magnitude;
}

/** Exponents up to which powers are computed exactly and rounded once. JavaScript's own may be off in the last digit. */
const MAX_EXACT_EXPONENT = 1024;

/** `base ** exponent` of floats. */
export function powerOf(base: number, exponent: number): number {
  const rough = base ** exponent;
  const isExact = Number.isInteger(exponent) && Math.abs(exponent) <= MAX_EXACT_EXPONENT;
  if (!isExact || !Number.isFinite(rough) || Math.abs(rough) < Number.MIN_VALUE * 2 ** 53 || base === 0) return rough;
  const { numerator, exponent: scale } = fractionOf(base);
  const power = numerator ** BigInt(Math.abs(exponent));
  const factor = 1n << BigInt(Math.abs(scale * exponent));
  const [top, bottom] = exponent > 0 ? [power, 1n] : [1n, power];
  const magnitude = scale * exponent > 0 ? nearestRatio(top * factor, bottom) : nearestRatio(top, bottom * factor);
  return rough < 0 ? -magnitude : magnitude;
}

/** |value| × 10^digits rounded to an integer, halves to even, without rounding on the way. */
function scaled(value: number, digits: number): bigint {
  const { numerator, exponent } = fractionOf(value);
  let top = numerator * (exponent > 0 ? 1n << BigInt(exponent) : 1n);
  let bottom = exponent < 0 ? 1n << BigInt(-exponent) : 1n;
  if (digits >= 0) top *= 10n ** BigInt(digits);
  else bottom *= 10n ** BigInt(-digits);
  const whole = top / bottom;
  const twice = (top % bottom) * 2n;
  return twice > bottom || (twice === bottom && whole % 2n === 1n) ? whole + 1n : whole;
}

/** The digits of |value| with `digits` decimals (format type f). */
export function fixed(value: number, digits: number): string {
  const text = scaled(value, digits)
    .toString()
    .padStart(digits + 1, "0");
  return digits === 0 ? text : `${text.slice(0, -digits)}.${text.slice(-digits)}`;
}

/** |value| as d.ddd × 10^exponent with `digits` decimals; unlike toExponential, halves go to even. */
function scientific(value: number, digits: number): { readonly mantissa: string; readonly exponent: number } {
  if (value === 0) return { mantissa: fixed(0, digits), exponent: 0 };
  const rough = Number(Math.abs(value).toExponential().split("e")[1]);
  const rounded = scaled(value, digits - rough).toString();
  const exponent = rough + rounded.length - digits - 1;
  const fraction = rounded.slice(1, digits + 1);
  return { mantissa: digits === 0 ? rounded.slice(0, 1) : `${rounded[0]}.${fraction}`, exponent };
}

/** Format type e of |value|; `keepsPoint`: "1.e+00". */
export function exponential(value: number, digits: number, keepsPoint: boolean): string {
  const { mantissa, exponent } = scientific(value, digits);
  return `${mantissa}${keepsPoint && digits === 0 ? "." : ""}e${exponentOf(exponent)}`;
}

/**
 * Format type g of |value|; `keepsZeros`: the zeros at its end, and the point; `isNumber`: with a decimal or an exponent,
 * as where a precision has no type.
 */
export function general(value: number, precision: number, keepsZeros: boolean, isNumber = false): string {
  const digits = Math.max(precision, 1);
  const { mantissa, exponent } = scientific(value, digits - 1);
  const trim = (text: string) => {
    if (!text.includes(".")) return keepsZeros ? `${text}.` : text;
    return keepsZeros ? text : text.replace(/\.?0+$/, "");
  };
  const limit = isNumber ? digits - 1 : digits;
  if (exponent < -4 || exponent >= limit) return `${trim(mantissa)}e${exponentOf(exponent)}`;
  const plain = trim(fixed(value, digits - 1 - exponent));
  return isNumber && !plain.includes(".") ? `${plain}.0` : plain;
}

/** `round(value, digits)` of a finite float. */
export function roundFloat(value: number, digits: number): number {
  if (!Number.isFinite(value) || value === 0 || digits > 323) return value;
  if (digits < -309) return value < 0 ? -0 : 0;
  const magnitude = Number(`${scaled(value, digits)}e${-digits}`);
  return value < 0 ? -magnitude : magnitude;
}

/** `round(value, digits)` of an int: negative digits round to tens, halves to even. */
export function roundInteger(value: bigint, digits: number): bigint {
  if (digits >= 0) return value;
  const unit = 10n ** BigInt(Math.min(-digits, 10_000));
  const size = value < 0n ? -value : value;
  const whole = size / unit;
  const twice = (size % unit) * 2n;
  const rounded = (twice > unit || (twice === unit && whole % 2n === 1n) ? whole + 1n : whole) * unit;
  return value < 0n ? -rounded : rounded;
}

/** Spaces that `int` and `float` allow around a number: fewer than `str.strip`. */
const NUMERAL_SPACES =
  "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000";

/** A text as `int` and `float` read it: without white space around it, all decimal digits as ASCII. */
function numeral(text: string): string {
  return strip(text, NUMERAL_SPACES)
    .replace(/\p{Nd}/gu, (digit) => String(valueOfDigit(digit)))
    .toLowerCase();
}

/** Unicode's decimal digits come in runs from 0 to 9. */
function valueOfDigit(digit: string): number {
  const code = digit.codePointAt(0) ?? 0;
  let first = code;
  while (decimal.test(String.fromCodePoint(first - 1))) first--;
  return (code - first) % 10;
}

/** `int(text, base)`; undefined if the text is not an int. */
export function parseInteger(text: string, base: number): bigint | undefined {
  const trimmed = numeral(text);
  const match = /^([+-]?)(0[box])?(_?[0-9a-z](?:_?[0-9a-z])*)$/.exec(trimmed);
  if (match === null || base === 1 || base > 36 || base < 0) return undefined;
  const [, sign = "", prefix, rest = ""] = match;
  const bases: Readonly<Record<string, number>> = { "0b": 2, "0o": 8, "0x": 16 };
  let digits = rest;
  let radix = base;
  if (prefix !== undefined && (base === 0 || bases[prefix] === base)) radix = bases[prefix] ?? base;
  else if (prefix !== undefined) digits = prefix + rest;
  else if (rest.startsWith("_")) return undefined;
  if (base === 0 && prefix === undefined) {
    radix = 10;
    if (/^0[0-9_]*[1-9]/.test(digits)) return undefined;
  }
  let result = 0n;
  for (const digit of digits.replaceAll("_", "")) {
    const value = Number.parseInt(digit, 36);
    if (Number.isNaN(value) || value >= radix) return undefined;
    result = result * BigInt(radix) + BigInt(value);
  }
  return sign === "-" ? -result : result;
}

/** `float(text)`; undefined if the text is not a float. */
export function parseFloatText(text: string): number | undefined {
  const trimmed = numeral(text);
  const special = /^([+-]?)(inf|infinity|nan)$/.exec(trimmed);
  if (special !== null) {
    if (special[2] === "nan") return Number.NaN;
    return special[1] === "-" ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  }
  if (!/^[+-]?(\d+(_\d+)*\.?(\d+(_\d+)*)?|\.\d+(_\d+)*)(e[+-]?\d+(_\d+)*)?$/.test(trimmed)) return undefined;
  return Number(trimmed.replaceAll("_", ""));
}
