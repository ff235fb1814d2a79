import { TemplateError } from "../errors.ts";
import { compare, equals, sorted } from "../values/operators.ts";
import type { Bound } from "../values/signature.ts";
import {
  Dict,
  hashKey,
  listOf,
  type PyObject,
  type Runtime,
  smallInteger,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from "../values/index.ts";
import {
  argumentError,
  attributeGetter,
  eachItem,
  type Filter,
  filter,
  flag,
  generator,
  ignoreCase,
} from "./filter.ts";

function extreme(parameters: Bound, runtime: Runtime, sign: 1 | -1): Value {
  const [value = null, caseSensitive, attribute] = parameters;
  const get = attributeGetter(attribute, runtime);
  const keyOf = (item: Value) => (flag(caseSensitive) ? get(item) : ignoreCase(get(item)));
  let best: { readonly item: Value; readonly key: Value } | undefined;
  for (const item of eachItem(value, runtime)) {
    const key = keyOf(item);
    if (best === undefined || sign * compare(key, best.key, sign > 0 ? ">" : "<", runtime) > 0) best = { item, key };
  }
  return best === undefined ? new Undefined("No aggregated item, sequence was empty.") : best.item;
}

function groupBy([value = null, attribute, byDefault, caseSensitive]: Bound, runtime: Runtime): Value {
  const exact = attributeGetter(attribute, runtime, byDefault ?? null);
  const keyOf = (item: Value) => (flag(caseSensitive) ? exact(item) : ignoreCase(exact(item)));
  const groups: { readonly key: Value; readonly items: Value[] }[] = [];
  for (const item of sorted(listOf(value, runtime), keyOf, false, runtime)) {
    const key = keyOf(item);
    const last = groups.at(-1);
    if (last !== undefined && equals(last.key, key, runtime)) last.items.push(item);
    else groups.push({ key, items: [item] });
  }
  return groups.map(({ key, items }) => {
    const shown = flag(caseSensitive) ? key : exact(items[0] ?? null);
    return new Tuple([shown, items], ["grouper", "list"]);
  });
}

function sortFilter([value = null, reverse, caseSensitive, attribute]: Bound, runtime: Runtime): Value {
  const attributes = typeof attribute === "string" ? attribute.split(",") : [attribute ?? null];
  const getters = attributes.map((part) => attributeGetter(part, runtime));
  const keyOf = (item: Value) => getters.map((get) => (flag(caseSensitive) ? get(item) : ignoreCase(get(item))));
  return sorted(listOf(value, runtime), keyOf, isReversed(reverse), runtime);
}

/** An argument that `sorted` takes for an int. */
function isReversed(reverse: Value | undefined): boolean {
  return reverse !== undefined && smallInteger(reverse) !== 0;
}

function dictSort([value, caseSensitive, by = "key", reverse]: Bound, runtime: Runtime): Value {
  if (by !== "key" && by !== "value") throw argumentError('You can only sort by either "key" or "value"');
  if (value instanceof Undefined) throw value.error;
  if (!(value instanceof Dict)) {
    throw new TemplateError("AttributeError", `'${typeName(value ?? null)}' object has no attribute 'items'`);
  }
  const items = [...value.entries].map((entry) => new Tuple(entry));
  const keyOf = (item: Value) => {
    const key = (item as Tuple).items[by === "key" ? 0 : 1] ?? null;
    return flag(caseSensitive) ? key : ignoreCase(key);
  };
  return sorted(items, keyOf, isReversed(reverse), runtime);
}

function unique([value = null, caseSensitive, attribute]: Bound, runtime: Runtime): Value {
  const get = attributeGetter(attribute, runtime);
  return generator(function* () {
    const seen = new Set<string | PyObject>();
    for (const item of eachItem(value, runtime)) {
      const key = hashKey(flag(caseSensitive) ? get(item) : ignoreCase(get(item)));
      if (seen.has(key)) continue;
      seen.add(key);
      yield item;
    }
    return undefined;
  });
}

/** Filters that compare items with each other. */
export const orderFilters: Readonly<Record<string, Filter>> = {
  dictsort: filter("value case_sensitive? by? reverse?", dictSort),
  groupby: filter("value attribute default? case_sensitive?", groupBy),
  max: filter("value case_sensitive? attribute?", (args, runtime) => extreme(args, runtime, 1)),
  min: filter("value case_sensitive? attribute?", (args, runtime) => extreme(args, runtime, -1)),
  sort: filter("value reverse? case_sensitive? attribute?", sortFilter),
  unique: filter("value case_sensitive? attribute?", unique),
};
