/** Floats as Python prints them. */

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

/** Format type e of |value|. */
export function exponential(value: number, digits: number): string {
  const [mantissa = "", exponent = "0"] = Math.abs(value).toExponential(digits).split("e");
  return `${mantissa}e${exponentOf(Number(exponent))}`;
}

/** Format type g of |value|. */
export function general(value: number, precision: number, keepsZeros: boolean): string {
  const digits = Math.max(precision, 1);
  if (value === 0) return keepsZeros && digits > 1 ? `0.${"0".repeat(digits - 1)}` : "0";
  const [mantissa = "", exponentText = "0"] = Math.abs(value)
    .toExponential(digits - 1)
    .split("e");
  const exponent = Number(exponentText);
  const trim = (text: string) => (keepsZeros || !text.includes(".") ? text : text.replace(/\.?0+$/, ""));
  if (exponent < -4 || exponent >= digits) return `${trim(mantissa)}e${exponentOf(exponent)}`;
  return trim(fixed(value, digits - 1 - exponent));
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

/** `int(text, base)`; undefined if the text is not an int. */
export function parseInteger(text: string, base: number): bigint | undefined {
  const trimmed = text.trim().toLowerCase();
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
  const trimmed = text.trim().toLowerCase();
  const special = /^([+-]?)(inf|infinity|nan)$/.exec(trimmed);
  if (special !== null) {
    if (special[2] === "nan") return Number.NaN;
    return special[1] === "-" ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  }
  if (!/^[+-]?(\d+(_\d+)*\.?(\d+(_\d+)*)?|\.\d+(_\d+)*)(e[+-]?\d+(_\d+)*)?$/.test(trimmed)) return undefined;
  return Number(trimmed.replaceAll("_", ""));
}
