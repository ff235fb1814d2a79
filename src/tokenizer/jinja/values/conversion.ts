import { typeError } from "../errors.ts";
import { isSimple } from "../strings/text.ts";
import { Undefined } from "./undefined.ts";
import { PyObject, type Runtime, type Value } from "./value.ts";

export function typeName(value: Value): string {
  if (value === null) return "NoneType";
  if (typeof value === "boolean") return "bool";
  if (typeof value === "bigint") return "int";
  if (typeof value === "number") return "float";
  if (typeof value === "string") return "str";
  return Array.isArray(value) ? "list" : value.typeName;
}

/** `bool(value)` */
export function isTrue(value: Value): boolean {
  if (typeof value === "object" && value !== null) return Array.isArray(value) ? value.length > 0 : value.isTrue;
  return value !== null && value !== false && value !== 0n && value !== 0 && value !== "";
}

export function isNumber(value: Value): value is boolean | bigint | number {
  return typeof value === "boolean" || typeof value === "bigint" || typeof value === "number";
}

/** int or bool as int. */
export function integerOf(value: Value): bigint | undefined {
  if (typeof value === "bigint") return value;
  return typeof value === "boolean" ? BigInt(value) : undefined;
}

/** An argument that must be an int, small enough for a length or an index. */
export function smallInteger(value: Value): number {
  if (value instanceof Undefined) throw value.error;
  const integer = integerOf(value);
  if (integer === undefined) throw typeError(`'${typeName(value)}' object cannot be interpreted as an integer`);
  const max = 2n ** 53n - 1n;
  return Number(integer > max ? max : integer < -max ? -max : integer);
}

/** An iterator of a value. @throws TemplateError "TypeError". */
export function iterate(value: Value): Iterator<Value> {
  if (typeof value === "string") return (isSimple(value) ? value.split("") : Array.from(value))[Symbol.iterator]();
  const found = Array.isArray(value)
    ? value[Symbol.iterator]()
    : value instanceof PyObject
      ? value.iterate()
      : undefined;
  if (found === undefined) throw typeError(`'${typeName(value)}' object is not iterable`);
  return found;
}

export function isIterable(value: Value): boolean {
  if (typeof value === "string" || Array.isArray(value)) return true;
  return value instanceof PyObject && value.iterate() !== undefined;
}

/** `list(value)`, as a new array. */
export function listOf(value: Value, runtime: Runtime): Value[] {
  if (Array.isArray(value)) {
    runtime.budget.spend(value.length);
    return [...value];
  }
  const items: Value[] = [];
  const iterator = iterate(value);
  for (let step = iterator.next(); step.done !== true; step = iterator.next()) {
    if (items.length % 64 === 0) runtime.budget.spend(64);
    items.push(step.value);
  }
  return items;
}

export function lengthOfValue(value: Value): number | undefined {
  if (typeof value === "string") return isSimple(value) ? value.length : Array.from(value).length;
  if (Array.isArray(value)) return value.length;
  return value instanceof PyObject ? value.length : undefined;
}
