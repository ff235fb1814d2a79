import { typeError, valueError } from "../errors.ts";
import { exponential, fixed, general } from "../values/numbers.ts";
import { characters, escapeNonAscii, lengthOf } from "../strings/text.ts";
import {
  Dict,
  integerOf,
  Namespace,
  Range,
  smallInteger,
  Tuple,
  typeName,
  Undefined,
  type Value,
  type Runtime,
} from "../values/index.ts";

const directive = /%(?:\(([^()]*)\))?([#0\- +]*)(\*|\d+)?(?:\.(\*|\d+)?)?[hlL]?([\s\S])/g;
const itemTypes = [Dict, Namespace, Range, Undefined];
const MAX_WIDTH = 1 << 20;

/** `format % value`, Python's printf-like formatting. */
export function percentFormat(format: string, value: Value, runtime: Runtime): string {
  runtime.budget.spend(format.length);
  const values = value instanceof Tuple ? value.items : [value];
  let used = 0;
  let usesNames = false;
  const take = (): Value => {
    const taken = usesNames ? undefined : values[used++];
    if (taken === undefined) throw typeError("not enough arguments for format string");
    return taken;
  };
  let end = 0;
  const result = format.replace(
    directive,
    (all, name: string | undefined, flags: string, widthText, precisionText, type: string, ...rest) => {
      end = (rest[0] as number) + all.length;
      if (all === "%%") return "%";
      const number = (text: string | undefined) =>
        text === undefined ? undefined : text === "*" ? smallInteger(take()) : Number(text);
      const width = number(widthText) ?? 0;
      const precision = number(precisionText) ?? (/\.[hlL]?.$/s.test(all) ? 0 : undefined);
      if (Math.abs(width) > MAX_WIDTH || (precision ?? 0) > MAX_WIDTH) throw valueError("width too big");
      if (name !== undefined) usesNames = true;
      const item = name === undefined ? take() : namedItem(value, name);
      const isLeft = flags.includes("-") || width < 0;
      const { sign, digits } = converted(type, item, flags, precision, runtime);
      const padding = Math.max(0, Math.abs(width) - lengthOf(sign + digits));
      runtime.budget.spend(padding);
      if (isLeft) return sign + digits + " ".repeat(padding);
      const fillsZeros = flags.includes("0") && "diufFeEgGoxX".includes(type);
      return fillsZeros ? sign + "0".repeat(padding) + digits : " ".repeat(padding) + sign + digits;
    },
  );
  if (format.indexOf("%", end) >= 0) throw valueError("incomplete format");
  // As in Python, a value that has items need not be used.
  const hasItems = Array.isArray(value) || itemTypes.some((type) => value instanceof type);
  if (used < values.length && !usesNames && !hasItems) {
    throw typeError("not all arguments converted during string formatting");
  }
  return result;
}

function namedItem(value: Value, name: string): Value {
  if (!(value instanceof Dict)) throw typeError("format requires a mapping");
  const found = value.get(name);
  if (found === undefined) throw valueError(`'${name}'`);
  return found;
}

function converted(
  type: string,
  value: Value,
  flags: string,
  precision: number | undefined,
  runtime: Runtime,
): { readonly sign: string; readonly digits: string } {
  if (type === "s" || type === "r" || type === "a") {
    const shown = type === "s" ? runtime.str(value) : runtime.repr(value);
    const text = type === "a" ? escapeNonAscii(shown) : shown;
    return { sign: "", digits: precision === undefined ? text : characters(text).slice(0, precision).join("") };
  }
  if (type === "c") {
    const code = integerOf(value);
    if (code !== undefined) return { sign: "", digits: String.fromCodePoint(Number(code)) };
    if (typeof value === "string" && lengthOf(value) === 1) return { sign: "", digits: value };
    throw typeError("%c requires int or char");
  }
  if (value instanceof Undefined) throw value.error;
  const signOf = (isNegative: boolean) =>
    isNegative ? "-" : flags.includes("+") ? "+" : flags.includes(" ") ? " " : "";
  const integer = integerOf(value);
  if ("diuoxX".includes(type)) {
    const isDecimal = "diu".includes(type);
    const whole = integer ?? (isDecimal && typeof value === "number" ? BigInt(Math.trunc(value)) : undefined);
    if (whole === undefined) {
      throw typeError(
        `%${type} format: ${isDecimal ? "a real number" : "an integer"} is required, not ${typeName(value)}`,
      );
    }
    const radix = isDecimal ? 10 : type === "o" ? 8 : 16;
    const prefix = isDecimal || !flags.includes("#") ? "" : type === "o" ? "0o" : `0${type}`;
    const digits = (whole < 0n ? -whole : whole).toString(radix).padStart(precision ?? 0, "0");
    return { sign: signOf(whole < 0n) + prefix, digits: type === "X" ? digits.toUpperCase() : digits };
  }
  if (!"eEfFgG".includes(type)) throw valueError(`unsupported format character '${type}'`);
  const float = typeof value === "number" ? value : integer === undefined ? undefined : Number(integer);
  if (float === undefined) throw typeError(`must be real number, not ${typeName(value)}`);
  const digits = floatDigits(float, type.toLowerCase(), precision ?? 6, flags.includes("#"));
  return {
    sign: signOf(float < 0 || Object.is(float, -0)),
    digits: type === type.toUpperCase() ? digits.toUpperCase() : digits,
  };
}

/** The digits of |value| for the types e, f and g. */
export function floatDigits(value: number, type: string, precision: number, keepsZeros: boolean): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "nan" : "inf";
  // Beyond this a double has no further digits.
  const digits = Math.min(precision, 1100);
  if (type === "f") return fixed(value, digits) + (keepsZeros && digits === 0 ? "." : "");
  return type === "e" ? exponential(value, digits, keepsZeros) : general(value, digits, keepsZeros);
}
