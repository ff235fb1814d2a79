import { byteAt, Bytes } from "./bytes.ts";
import { isError, TemplateError, typeError, valueError } from "../errors.ts";
import { markupMethod } from "../strings/markup.ts";
import { signature, bind } from "./signature.ts";
import { sequenceMethod, stringMethod } from "../strings/string-methods.ts";
import { characters, isSimple, quoted } from "../strings/text.ts";
import {
  type CallArguments,
  Dict,
  DictView,
  integerOf,
  listOf,
  Markup,
  plain,
  Namespace,
  PyFunction,
  PyObject,
  Range,
  type Runtime,
  smallInteger,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from "./index.ts";

/** Methods that change their object; the sandbox refuses them. */
const mutating: Readonly<Record<string, ReadonlySet<string>>> = {
  list: new Set(["append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove"]),
  dict: new Set(["clear", "pop", "popitem", "setdefault", "update"]),
};

export function undefinedAttribute(object: Value, name: Value, runtime: Runtime): Undefined {
  const type = object === null ? "None" : `${typeName(object)} object`;
  return typeof name === "string"
    ? new Undefined(`'${type}' has no attribute ${quoted(name)}`)
    : new Undefined(`${type} has no element ${runtime.repr(name)}`);
}

function unsafe(object: Value, name: string): Undefined {
  return new Undefined(`access to attribute '${name}' of '${typeName(object)}' object is unsafe.`, "SecurityError");
}

/** `getattr(object, name)`; undefined if there is none. */
function rawAttribute(object: Value, name: string, runtime: Runtime): Value | undefined {
  if (object instanceof Markup) {
    const method = stringMethod(object.text, name);
    return method === undefined ? undefined : markupMethod(method);
  }
  if (typeof object === "string") return stringMethod(object, name);
  if (Array.isArray(object)) {
    return name === "copy" ? copier(() => listOf(object, runtime)) : sequenceMethod(object, name);
  }
  if (typeof object === "bigint" || typeof object === "boolean" || typeof object === "number") {
    return numberAttribute(object, name);
  }
  return object instanceof PyObject ? object.attribute(name, runtime) : undefined;
}

function numberAttribute(value: boolean | bigint | number, name: string): Value | undefined {
  const constant = (result: Value) => new PyFunction(name, () => result);
  if (name === "is_integer" && typeof value === "number") return constant(Number.isInteger(value));
  if (name === "conjugate") return constant(typeof value === "boolean" ? BigInt(value) : value);
  if (typeof value === "number") return name === "real" ? value : name === "imag" ? 0 : undefined;
  const integer = BigInt(value);
  if (name === "bit_count") return constant(BigInt(integer.toString(2).replace(/[^1]/g, "").length));
  if (name === "as_integer_ratio") return constant(new Tuple([integer, 1n]));
  if (name === "bit_length") return constant(BigInt(integer === 0n ? 0 : integer.toString(2).replace("-", "").length));
  if (name === "real" || name === "numerator") return integer;
  if (name === "imag") return 0n;
  return name === "denominator" ? 1n : undefined;
}

function copier(copy: () => Value): PyFunction {
  return new PyFunction("copy", (args) => {
    bind("copy", noParameters, args);
    return copy();
  });
}

/** Whether the object has an attribute that the sandbox refuses. */
function isUnsafe(object: Value, name: string): boolean {
  return mutating[typeName(object)]?.has(name) === true;
}

/** `object.name`: the attribute, else the item. */
export function getAttribute(object: Value, name: string, runtime: Runtime): Value {
  if (isUnsafe(object, name)) return unsafe(object, name);
  const attribute = rawAttribute(object, name, runtime);
  if (attribute !== undefined) {
    return name.startsWith("_") && !(object instanceof Namespace) ? unsafe(object, name) : attribute;
  }
  const item = object instanceof Dict ? object.get(name) : undefined;
  if (item !== undefined) return item;
  if (object instanceof Undefined) throw object.error;
  return undefinedAttribute(object, name, runtime);
}

/** `object[key]`: the item, else the attribute. */
export function getItem(object: Value, index: Value, runtime: Runtime): Value {
  const key = plain(index);
  try {
    const found = rawItem(object, key);
    if (found !== undefined) return found;
  } catch (error) {
    if (!isError(error, "TypeError", "IndexError", "KeyError")) throw error;
  }
  if (typeof key === "string") {
    if (isUnsafe(object, key)) return unsafe(object, key);
    const attribute = rawAttribute(object, key, runtime);
    if (attribute !== undefined) return key.startsWith("_") ? unsafe(object, key) : attribute;
  }
  return undefinedAttribute(object, key, runtime);
}

/** undefined if there is no such item. @throws TemplateError. */
function rawItem(object: Value, key: Value): Value | undefined {
  if (object instanceof Markup) {
    const item = rawItem(object.text, key);
    return typeof item === "string" ? new Markup(item) : item;
  }
  if (object instanceof Undefined) throw object.error;
  if (object instanceof Dict) return object.get(key);
  if (object instanceof Bytes) return byteAt(object, key);
  const index = integerOf(key);
  if (index === undefined) throw typeError(`${typeName(object)} indices must be integers or slices`);
  const at = (length: number) => Number(index < 0n ? index + BigInt(length) : index);
  if (typeof object === "string") {
    const all = isSimple(object) ? object : Array.from(object);
    return all[at(all.length)];
  }
  if (Array.isArray(object)) return object[at(object.length)];
  if (object instanceof Tuple) return object.items[at(object.length)];
  if (object instanceof Range) {
    const i = at(object.length);
    return i >= 0 && i < object.length ? object.at(i) : undefined;
  }
  throw typeError(`'${typeName(object)}' object is not subscriptable`);
}

const sliced = [Bytes, Range, Tuple];

/** `object[start:stop:step]` @throws TemplateError. */
export function getSlice(object: Value, start: Value, stop: Value, step: Value, runtime: Runtime): Value {
  if (object instanceof Undefined) throw object.error;
  if (object instanceof Markup) {
    const part = getSlice(object.text, start, stop, step, runtime);
    return typeof part === "string" ? new Markup(part) : part;
  }
  const hasSlices =
    typeof object === "string" || Array.isArray(object) || sliced.some((type) => object instanceof type);
  if (!hasSlices) throw typeError(`'${typeName(object)}' object cannot be sliced`);
  const by = step === null ? 1 : sliceIndex(step);
  if (by === 0) throw valueError("slice step cannot be zero");
  const bounds = (length: number): readonly [number, number] => {
    const bound = (value: Value, byDefault: number) => {
      if (value === null) return byDefault;
      const index = sliceIndex(value);
      const low = by < 0 ? -1 : 0;
      return index < 0 ? Math.max(low, index + length) : Math.min(by < 0 ? length - 1 : length, index);
    };
    return [bound(start, by < 0 ? length - 1 : 0), bound(stop, by < 0 ? -1 : length)];
  };
  const select = <Item>(items: ArrayLike<Item>): Item[] => {
    const [from, to] = bounds(items.length);
    const selected: Item[] = [];
    for (let i = from; by < 0 ? i > to : i < to; i += by) selected.push(items[i] as Item);
    runtime.budget.spend(selected.length);
    return selected;
  };
  if (typeof object === "string") {
    if (by === 1 && isSimple(object)) {
      const from = start === null ? 0 : sliceIndex(start);
      const to = stop === null ? object.length : sliceIndex(stop);
      runtime.budget.spend(object.length);
      return object.slice(from, to);
    }
    return select(characters(object)).join("");
  }
  if (Array.isArray(object)) return select(object);
  if (object instanceof Tuple) return new Tuple(select(object.items));
  if (object instanceof Range) {
    const [from, to] = bounds(object.length);
    return new Range(object.at(from), object.at(to), object.step * BigInt(by));
  }
  if (object instanceof Bytes) return new Bytes(Uint8Array.from(select(object.content)));
  throw typeError(`'${typeName(object)}' object is not subscriptable`);
}

function sliceIndex(value: Value): number {
  if (integerOf(value) === undefined) {
    throw typeError("slice indices must be integers or None or have an __index__ method");
  }
  return smallInteger(value);
}

const getSignature = signature("key default? /");
const noParameters = signature("");

/** Methods of dict that do not change it. */
export function dictMethod(dict: Dict, name: string): PyFunction | undefined {
  const plain = (run: () => Value) =>
    new PyFunction(name, (args) => {
      bind(name, noParameters, args);
      return run();
    });
  switch (name) {
    case "items":
    case "keys":
    case "values":
      return plain(() => new DictView(name, dict));
    case "copy":
      return plain(() => new Dict(dict.entries));
    case "get":
      return new PyFunction(name, (args) => {
        const [key = null, byDefault = null] = bind(name, getSignature, args);
        const found = dict.get(key);
        return found === undefined ? byDefault : found;
      });
    case "fromkeys":
      return new PyFunction(name, (args, runtime) => {
        const [keys = null, value = null] = bind(name, signature("iterable value? /"), args);
        return new Dict(listOf(keys, runtime).map((key) => [key, value]));
      });
    default:
      return undefined;
  }
}

/** `list(value)` of an argument, `dict(…)` and other constructors. */
export function makeDict(args: CallArguments, runtime: Runtime): Dict {
  const [source, ...more] = args.positional;
  if (more.length > 0) throw typeError(`dict expected at most 1 argument, got ${args.positional.length}`);
  const dict = new Dict();
  if (source instanceof Dict) for (const [key, value] of source.entries) dict.set(key, value);
  else if (source !== undefined) {
    for (const pair of listOf(source, runtime)) {
      const [key, value, ...rest] = listOf(pair, runtime);
      if (key === undefined || value === undefined || rest.length > 0) {
        throw new TemplateError("ValueError", "dictionary update sequence: an element must have length 2");
      }
      dict.set(key, value);
    }
  }
  for (const [key, value] of args.named) dict.set(key, value);
  return dict;
}
