import { TemplateError, typeError } from "../errors.ts";
import { binary, compare, lengthOrError } from "../values/operators.ts";
import type { Bound } from "../values/signature.ts";
import { characters } from "../strings/text.ts";
import {
  Dict,
  integerOf,
  isIterable,
  iterate,
  listOf,
  PyIterator,
  type Runtime,
  smallInteger,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from "../values/index.ts";
import { argumentError, attributeGetter, eachItem, type Filter, filter, generator } from "./filter.ts";

function sliceFilter([value = null, slices = null, fillWith = null]: Bound, runtime: Runtime): Value {
  return generator(function* () {
    const items = listOf(value, runtime);
    const n = smallInteger(slices);
    if (n === 0) throw new TemplateError("ZeroDivisionError", "integer division or modulo by zero");
    const size = Math.floor(items.length / n);
    const nLonger = items.length % n;
    for (let i = 0, at = 0; i < n; i++) {
      runtime.budget.step();
      const end = at + size + (i < nLonger ? 1 : 0);
      const part = items.slice(at, end);
      if (fillWith !== null && i >= nLonger) part.push(fillWith);
      yield part;
      at = end;
    }
    return undefined;
  });
}

function batch([value = null, count = null, fillWith = null]: Bound, runtime: Runtime): Value {
  return generator(function* () {
    let part: Value[] = [];
    for (const item of eachItem(value, runtime)) {
      if (integerOf(count) !== undefined && part.length === smallInteger(count)) {
        yield part;
        part = [];
      }
      part.push(item);
    }
    if (part.length > 0) {
      const isFull = fillWith === null || compare(BigInt(part.length), count, "<", runtime) >= 0;
      const missing = isFull ? 0 : smallInteger(count) - part.length;
      runtime.budget.spend(missing);
      yield [...part, ...Array.from({ length: missing }, () => fillWith)];
    }
    return undefined;
  });
}

function reversed(value: Value, runtime: Runtime): Value {
  if (typeof value === "string") return [...characters(value)].reverse().join("");
  if (!isIterable(value)) throw argumentError("argument must be iterable");
  const items = listOf(value, runtime).reverse();
  const isSequence = Array.isArray(value) || !(value instanceof PyIterator);
  const type = Array.isArray(value) ? "list_reverseiterator" : "reversed";
  return isSequence ? new PyIterator(items[Symbol.iterator](), type) : items;
}

function last(value: Value, runtime: Runtime): Value {
  if (typeof value === "string") return characters(value).at(-1) ?? new Undefined("No last item, sequence was empty.");
  const isReversible = Array.isArray(value) || (!(value instanceof PyIterator) && isIterable(value));
  if (!isReversible) throw typeError(`'${typeName(value)}' object is not reversible`);
  const item = listOf(value, runtime).at(-1);
  return item === undefined ? new Undefined("No last item, sequence was empty.") : item;
}

function first(value: Value): Value {
  const step = iterate(value).next();
  return step.done === true ? new Undefined("No first item, sequence was empty.") : step.value;
}

function join([value = null, separator = "", attribute]: Bound, runtime: Runtime): string {
  const get = attributeGetter(attribute, runtime);
  const glue = runtime.str(separator);
  const parts: string[] = [];
  for (const item of eachItem(value, runtime)) {
    const part = runtime.str(get(item));
    runtime.budget.spend(part.length + glue.length);
    parts.push(part);
  }
  return parts.join(glue);
}

function sum([value = null, attribute, start = 0n]: Bound, runtime: Runtime): Value {
  if (typeof start === "string") throw typeError("sum() can't sum strings [use ''.join(seq) instead]");
  const get = attributeGetter(attribute, runtime);
  let total: Value = start;
  for (const item of eachItem(value, runtime)) total = binary("+", total, get(item), runtime);
  return total;
}

const length = filter("obj /", ([value = null]) => BigInt(lengthOrError(value)));

/** Filters of sequences as a whole. */
export const sequenceFilters: Readonly<Record<string, Filter>> = {
  batch: filter("value linecount fill_with?", batch),
  count: length,
  first: filter("seq", ([value = null]) => first(value)),
  items: filter("value", ([value = null]) =>
    generator(function* () {
      if (value instanceof Undefined) return undefined;
      if (!(value instanceof Dict)) throw typeError("Can only get item pairs from a mapping.");
      for (const entry of value.entries) yield new Tuple(entry);
      return undefined;
    }),
  ),
  join: filter("value d? attribute?", join),
  last: filter("seq", ([value = null], runtime) => last(value, runtime)),
  length,
  list: filter("value", ([value = null], runtime) => listOf(value, runtime)),
  reverse: filter("value", ([value = null], runtime) => reversed(value, runtime)),
  slice: filter("value slices fill_with?", sliceFilter),
  sum: filter("iterable attribute? start?", sum),
};
