import { isError, TemplateError, typeError, valueError } from "../errors.ts";
import { fixed, parseFloatText, parseInteger, roundFloat, roundInteger, showFloat } from "../values/numbers.ts";
import { binary, toFloat } from "../values/operators.ts";
import type { Bound } from "../values/signature.ts";
import { integerOf, isNumber, type Runtime, smallInteger, typeName, Undefined, type Value } from "../values/index.ts";
import { argumentError, type Filter, filter, flag } from "./filter.ts";

function toInteger(value: Value, base: number): bigint {
  if (typeof value === "string") {
    const parsed = parseInteger(value, base);
    if (parsed === undefined) throw valueError(`invalid literal for int() with base ${base}: '${value}'`);
    return parsed;
  }
  if (value instanceof Undefined) throw value.error;
  if (typeof value === "number") {
    if (Number.isNaN(value)) throw valueError("cannot convert float NaN to integer");
    if (!Number.isFinite(value)) throw new TemplateError("OverflowError", "cannot convert float infinity to integer");
    return BigInt(Math.trunc(value));
  }
  const integer = integerOf(value);
  if (integer === undefined)
    throw typeError(`int() argument must be a string or a real number, not '${typeName(value)}'`);
  return integer;
}

function float(value: Value): number {
  if (value instanceof Undefined) throw value.error;
  if (typeof value === "string") {
    const parsed = parseFloatText(value);
    if (parsed === undefined) throw valueError(`could not convert string to float: '${value}'`);
    return parsed;
  }
  if (!isNumber(value)) throw typeError(`float() argument must be a string or a real number, not '${typeName(value)}'`);
  return typeof value === "number" ? value : toFloat(BigInt(value));
}

function int([value = null, byDefault = 0n, base]: Bound): Value {
  try {
    return toInteger(value, base === undefined ? 10 : smallInteger(base));
  } catch (error) {
    if (!isError(error, "TypeError", "ValueError")) throw error;
  }
  try {
    return toInteger(float(value), 10);
  } catch (error) {
    if (!isError(error, "TypeError", "ValueError", "OverflowError")) throw error;
    return byDefault;
  }
}

function round([value = null, precisionValue = 0n, method = "common"]: Bound, runtime: Runtime): Value {
  if (method !== "common" && method !== "ceil" && method !== "floor") {
    throw argumentError("method must be common, ceil or floor");
  }
  if (value instanceof Undefined) throw value.error;
  if (!isNumber(value)) throw typeError(`type ${typeName(value)} doesn't define __round__ method`);
  const precision = smallInteger(precisionValue);
  if (method === "common") {
    return typeof value === "number" ? roundFloat(value, precision) : roundInteger(BigInt(value), precision);
  }
  const scale = binary("**", 10n, precisionValue, runtime);
  const scaled = float(binary("*", value, scale, runtime));
  const whole = BigInt(method === "ceil" ? Math.ceil(scaled) : Math.floor(scaled));
  return binary("/", whole, scale, runtime);
}

function fileSize(value: Value, isBinary: boolean): string {
  const bytes = float(value);
  const base = isBinary ? 1024 : 1000;
  const prefixes = isBinary
    ? ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"]
    : ["kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"];
  if (bytes === 1) return "1 Byte";
  if (bytes < base) return `${toInteger(bytes, 10)} Bytes`;
  const i = prefixes.findIndex((_, index) => bytes < base ** (index + 2));
  const at = i < 0 ? prefixes.length - 1 : i;
  const size = (base * bytes) / base ** (at + 2);
  return `${Number.isFinite(size) ? fixed(size, 1) : showFloat(size)} ${prefixes[at]}`;
}

function absolute(value: Value): Value {
  if (value instanceof Undefined) throw typeError("bad operand type for abs(): 'Undefined'");
  if (typeof value === "number") return Math.abs(value);
  const integer = integerOf(value);
  if (integer === undefined) throw typeError(`bad operand type for abs(): '${typeName(value)}'`);
  return integer < 0n ? -integer : integer;
}

/** Filters of numbers. */
export const numberFilters: Readonly<Record<string, Filter>> = {
  abs: filter("x /", ([value = null]) => absolute(value)),
  filesizeformat: filter("value binary?", ([value = null, isBinary]) => fileSize(value, flag(isBinary))),
  float: filter("value default?", ([value = null, byDefault = 0]) => {
    try {
      return float(value);
    } catch (error) {
      if (!isError(error, "TypeError", "ValueError")) throw error;
      return byDefault;
    }
  }),
  int: filter("value default? base?", int),
  round: filter("value precision? method?", round),
};
