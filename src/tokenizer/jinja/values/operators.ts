import type { BinaryOperator, ComparisonOperator } from "../syntax/ast.ts";
import { TemplateError, typeError } from "../errors.ts";
import { markupBinary } from "../strings/markup.ts";
import { nearestRatio, powerOf } from "./numbers.ts";
import { percentFormat } from "../format/percent-format.ts";
import { compareTexts } from "../strings/text.ts";
import {
  Dict,
  DictView,
  hashKey,
  integerOf,
  isNumber,
  iterate,
  lengthOfValue,
  Markup,
  plain,
  PyObject,
  Range,
  Tuple,
  typeName,
  Undefined,
  type Value,
  type Runtime,
} from "./index.ts";

/** Bits of the largest integer: Python has no limit, but every digit takes memory. */
const MAX_BITS = 1 << 16;

/** `a == b` */
export function equals(first: Value, second: Value, runtime: Runtime): boolean {
  runtime.budget.step();
  const [a, b] = [plain(first), plain(second)];
  if (a === b) return !(typeof a === "number" && Number.isNaN(a));
  if (isNumber(a) && isNumber(b)) return typeof a === "bigint" && typeof b === "bigint" ? false : numberEquals(a, b);
  if (Array.isArray(a) && Array.isArray(b)) return listEquals(a, b, runtime);
  if (a instanceof Tuple && b instanceof Tuple) return listEquals(a.items, b.items, runtime);
  if (a instanceof Undefined) return b instanceof Undefined;
  if (a instanceof Dict && b instanceof Dict) {
    if (a.length !== b.length) return false;
    for (const [key, value] of a.entries) {
      const other = b.get(key);
      if (other === undefined || !equals(value, other, runtime)) return false;
    }
    return true;
  }
  if (a instanceof Range && b instanceof Range) {
    if (a.length !== b.length) return false;
    return a.length === 0 || (a.start === b.start && (a.length === 1 || a.step === b.step));
  }
  if (a instanceof DictView && b instanceof DictView && a.isSet && b.isSet) {
    return a.length === b.length && a.items.every((item) => b.items.some((other) => equals(item, other, runtime)));
  }
  return false;
}

function numberEquals(a: boolean | bigint | number, b: boolean | bigint | number): boolean {
  const [x, y] = [typeof a === "boolean" ? BigInt(a) : a, typeof b === "boolean" ? BigInt(b) : b];
  // biome-ignore lint/suspicious/noDoubleEquals: between bigint and number it compares exact values
  return x == y;
}

function listEquals(a: readonly Value[], b: readonly Value[], runtime: Runtime): boolean {
  return a.length === b.length && a.every((item, i) => same(item, b[i] as Value, runtime));
}

/** Python's containers take an object as equal to itself, NaN included. */
function same(a: Value, b: Value, runtime: Runtime): boolean {
  return Object.is(a, b) || equals(a, b, runtime);
}

/** Negative, 0 or positive; NaN if neither is true of floats. @throws TemplateError "TypeError". */
export function compare(first: Value, second: Value, operator: string, runtime: Runtime): number {
  runtime.budget.step();
  const [a, b] = [plain(first), plain(second)];
  if (a instanceof Undefined) throw a.error;
  if (b instanceof Undefined) throw b.error;
  if (isNumber(a) && isNumber(b)) {
    const [x, y] = [typeof a === "boolean" ? BigInt(a) : a, typeof b === "boolean" ? BigInt(b) : b];
    if (Number.isNaN(x) || Number.isNaN(y)) return Number.NaN;
    return x < y ? -1 : x > y ? 1 : 0;
  }
  if (typeof a === "string" && typeof b === "string") return compareTexts(a, b);
  const [x, y] = [itemsOf(a), itemsOf(b)];
  if (x !== undefined && y !== undefined && typeName(a) === typeName(b)) {
    for (let i = 0; i < Math.min(x.length, y.length); i++) {
      const [left, right] = [x[i] as Value, y[i] as Value];
      if (!same(left, right, runtime)) return compare(left, right, operator, runtime);
    }
    return x.length - y.length;
  }
  throw typeError(`'${operator}' not supported between instances of '${typeName(a)}' and '${typeName(b)}'`);
}

function itemsOf(value: Value): readonly Value[] | undefined {
  if (Array.isArray(value)) return value;
  return value instanceof Tuple ? value.items : undefined;
}

export function compareBy(operator: ComparisonOperator, a: Value, b: Value, runtime: Runtime): boolean {
  switch (operator) {
    case "==":
      return equals(a, b, runtime);
    case "!=":
      return !equals(a, b, runtime);
    case "in":
      return contains(b, a, runtime);
    case "not in":
      return !contains(b, a, runtime);
    default: {
      const order = compare(a, b, operator, runtime);
      if (operator === "<") return order < 0;
      if (operator === "<=") return order <= 0;
      return operator === ">" ? order > 0 : order >= 0;
    }
  }
}

/** Sorts as Python's `sorted`: stable, by `<`. */
export function sorted(
  values: readonly Value[],
  keyOf: (value: Value) => Value,
  isReversed: boolean,
  runtime: Runtime,
): Value[] {
  const keyed = values.map((value) => ({ value, key: keyOf(value) }));
  keyed.sort((a, b) => {
    const [first, second] = isReversed ? [b.key, a.key] : [a.key, b.key];
    return compare(first, second, "<", runtime);
  });
  return keyed.map(({ value }) => value);
}

/** `value in container` */
export function contains(within: Value, wanted: Value, runtime: Runtime): boolean {
  const [container, value] = [plain(within), plain(wanted)];
  if (typeof container === "string") {
    if (typeof value !== "string") {
      throw typeError(`'in <string>' requires string as left operand, not ${typeName(value)}`);
    }
    runtime.budget.spend(container.length);
    return container.includes(value);
  }
  if (container instanceof Dict) return container.get(value) !== undefined;
  if (container instanceof Range && integerOf(value) === undefined && typeof value !== "number") return false;
  if (container instanceof PyObject && container.iterate() === undefined) {
    throw typeError(`argument of type '${container.typeName}' is not iterable`);
  }
  if (!Array.isArray(container) && !(container instanceof PyObject)) {
    throw typeError(`argument of type '${typeName(container)}' is not iterable`);
  }
  if (container instanceof DictView && container.typeName === "dict_keys") hashKey(value);
  const iterator = iterate(container);
  for (let step = iterator.next(); step.done !== true; step = iterator.next()) {
    if (same(step.value, value, runtime)) return true;
  }
  return false;
}

export function binary(operator: BinaryOperator, a: Value, b: Value, runtime: Runtime): Value {
  if (a instanceof Markup || b instanceof Markup) {
    if (a instanceof Undefined) throw a.error;
    if (b instanceof Undefined && operator !== "%") throw b.error;
    const result = markupBinary(operator, a, b, runtime);
    if (result !== undefined) return result;
  }
  if (operator === "%" && typeof a === "string") return percentFormat(a, b, runtime);
  if (a instanceof Undefined) throw a.error;
  if (b instanceof Undefined) throw b.error;
  if (isNumber(a) && isNumber(b)) return arithmetic(operator, a, b);
  if (operator === "+") {
    if (typeof a === "string" && typeof b === "string") {
      runtime.budget.spend(a.length + b.length);
      return a + b;
    }
    if (Array.isArray(a) && Array.isArray(b)) {
      runtime.budget.spend(a.length + b.length);
      return [...a, ...b];
    }
    if (a instanceof Tuple && b instanceof Tuple) {
      runtime.budget.spend(a.items.length + b.items.length);
      return new Tuple([...a.items, ...b.items]);
    }
    if (typeof a === "string" || Array.isArray(a) || a instanceof Tuple) {
      throw typeError(`can only concatenate ${typeName(a)} (not "${typeName(b)}") to ${typeName(a)}`);
    }
  }
  if (operator === "*") {
    const repeated = repeat(a, b, runtime) ?? repeat(b, a, runtime);
    if (repeated !== undefined) return repeated;
  }
  throw typeError(`unsupported operand type(s) for ${operator}: '${typeName(a)}' and '${typeName(b)}'`);
}

function repeat(value: Value, times: Value, runtime: Runtime): Value | undefined {
  const count = integerOf(times);
  if (count === undefined) return undefined;
  const length = typeof value === "string" ? value.length : itemsOf(value)?.length;
  if (length === undefined) return undefined;
  const n = count < 0n || length === 0 ? 0 : Number(count);
  runtime.budget.spend(length * n);
  if (typeof value === "string") return value.repeat(n);
  const items = Array.from({ length: n }, () => itemsOf(value) ?? []).flat();
  return Array.isArray(value) ? items : new Tuple(items);
}

function arithmetic(operator: BinaryOperator, a: boolean | bigint | number, b: boolean | bigint | number): Value {
  const [x, y] = [typeof a === "boolean" ? BigInt(a) : a, typeof b === "boolean" ? BigInt(b) : b];
  if (typeof x === "bigint" && typeof y === "bigint") {
    if (operator === "/") return divideIntegers(x, y);
    if (operator === "**" && y < 0n) return power(toFloat(x), toFloat(y));
    return integerArithmetic(operator, x, y);
  }
  const [left, right] = [toFloat(x), toFloat(y)];
  switch (operator) {
    case "+":
      return left + right;
    case "-":
      return left - right;
    case "*":
      return left * right;
    case "/":
      return divide(left, right, "float division by zero");
    case "//":
      divide(left, right, "float floor division by zero");
      return floorDivide(left, right);
    case "%":
      divide(left, right, "float modulo");
      return floatModulo(left, right);
    case "**":
      return power(left, right);
  }
}

/** @throws TemplateError "OverflowError". */
export function toFloat(value: bigint | number): number {
  const float = Number(value);
  if (typeof value === "bigint" && !Number.isFinite(float)) {
    throw new TemplateError("OverflowError", "int too large to convert to float");
  }
  return float;
}

function divide(a: number, b: number, message: string): number {
  if (b === 0) throw new TemplateError("ZeroDivisionError", message);
  return a / b;
}

function divideIntegers(x: bigint, y: bigint): number {
  if (y === 0n) throw new TemplateError("ZeroDivisionError", "division by zero");
  const result = nearestRatio(x, y);
  if (Number.isFinite(result)) return result;
  throw new TemplateError("OverflowError", "integer division result too large for a float");
}

/** With the sign of the divisor. */
function floatModulo(a: number, b: number): number {
  const rest = a % b;
  if (rest === 0) return b < 0 ? -0 : 0;
  return rest < 0 === b < 0 ? rest : rest + b;
}

/** Rounded down, step by step as CPython does. */
function floorDivide(a: number, b: number): number {
  const rest = a % b;
  const quotient = (a - rest) / b - (rest !== 0 && b < 0 !== rest < 0 ? 1 : 0);
  if (quotient === 0) return a / b < 0 || Object.is(a / b, -0) ? -0 : 0;
  const floor = Math.floor(quotient);
  return quotient - floor > 0.5 ? floor + 1 : floor;
}

function power(a: number, b: number): number {
  if (a === 0 && b < 0) {
    throw new TemplateError("ZeroDivisionError", "0.0 cannot be raised to a negative power");
  }
  if (a < 0 && !Number.isInteger(b)) throw new TemplateError("ValueError", "the result is a complex number");
  const result = powerOf(a, b);
  if (!Number.isFinite(result) && Number.isFinite(a) && Number.isFinite(b)) {
    throw new TemplateError("OverflowError", "(34, 'Numerical result out of range')");
  }
  return result;
}

function bitsOf(value: bigint): number {
  return value.toString(16).length * 4;
}

function integerArithmetic(operator: BinaryOperator, x: bigint, y: bigint): bigint {
  const bits = operator === "**" ? bitsOf(x) * Number(y) : operator === "*" ? bitsOf(x) + bitsOf(y) : 0;
  if (bits > MAX_BITS) throw new TemplateError("OverflowError", `an integer of ${bits} bits is too large`);
  switch (operator) {
    case "+":
      return x + y;
    case "-":
      return x - y;
    case "*":
      return x * y;
    case "**":
      return x ** y;
    default: {
      if (y === 0n) throw new TemplateError("ZeroDivisionError", "integer division or modulo by zero");
      const rest = x % y;
      const modulo = rest !== 0n && rest < 0n !== y < 0n ? rest + y : rest;
      return operator === "%" ? modulo : (x - modulo) / y;
    }
  }
}

export function negate(value: Value): Value {
  if (value instanceof Undefined) throw value.error;
  if (typeof value === "number") return -value;
  const integer = integerOf(value);
  if (integer === undefined) throw typeError(`bad operand type for unary -: '${typeName(value)}'`);
  return -integer;
}

export function plus(value: Value): Value {
  if (value instanceof Undefined) throw value.error;
  if (typeof value === "number") return value;
  const integer = integerOf(value);
  if (integer === undefined) throw typeError(`bad operand type for unary +: '${typeName(value)}'`);
  return integer;
}

/** `len(value)` @throws TemplateError "TypeError". */
export function lengthOrError(value: Value): number {
  const length = lengthOfValue(value);
  if (length === undefined) throw typeError(`object of type '${typeName(value)}' has no len()`);
  return length;
}
