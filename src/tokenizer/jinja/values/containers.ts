import { typeError } from "../errors.ts";
import { typeName } from "./conversion.ts";
import { Markup } from "./markup.ts";
import { Undefined } from "./undefined.ts";
import { PyObject, type Runtime, type Value } from "./value.ts";

/** An object with items in order. */
abstract class ItemsObject extends PyObject {
  abstract readonly items: readonly Value[];

  override get length(): number {
    return this.items.length;
  }

  override iterate(): Iterator<Value> {
    return this.items[Symbol.iterator]();
  }
}

export class Tuple extends ItemsObject {
  override readonly typeName = "tuple";
  override readonly items: readonly Value[];
  /** Names of the items of a named tuple (`groupby`). */
  readonly names: readonly string[];

  constructor(items: readonly Value[], names: readonly string[] = []) {
    super();
    this.items = items;
    this.names = names;
  }

  override attribute(name: string, runtime: Runtime): Value | undefined {
    const at = this.names.indexOf(name);
    return at < 0 ? runtime.method(this, name) : this.items[at];
  }

  override show(runtime: Runtime): string {
    const items = this.items.map((item) => runtime.repr(item));
    return items.length === 1 ? `(${items[0]},)` : `(${items.join(", ")})`;
  }
}

export class Dict extends PyObject {
  override readonly typeName = "dict";
  readonly #entries = new Map<string | PyObject, readonly [Value, Value]>();

  constructor(entries: Iterable<readonly [Value, Value]> = []) {
    super();
    for (const [key, value] of entries) this.set(key, value);
  }

  get(key: Value): Value | undefined {
    return this.#entries.get(hashKey(key))?.[1];
  }

  /** As in Python, the first of several equal keys (1, 1.0, true) stays. */
  set(key: Value, value: Value): void {
    const hash = hashKey(key);
    this.#entries.set(hash, [this.#entries.get(hash)?.[0] ?? key, value]);
  }

  get entries(): Iterable<readonly [Value, Value]> {
    return this.#entries.values();
  }

  override get length(): number {
    return this.#entries.size;
  }

  *#keys(): Generator<Value, undefined> {
    for (const [key] of this.#entries.values()) yield key;
    return undefined;
  }

  override iterate(): Iterator<Value> {
    return this.#keys();
  }

  override attribute(name: string, runtime: Runtime): Value | undefined {
    return runtime.method(this, name);
  }

  override show(runtime: Runtime): string {
    const entries = [...this.entries].map(([key, value]) => `${runtime.repr(key)}: ${runtime.repr(value)}`);
    return `{${entries.join(", ")}}`;
  }
}

/** `dict.items()` and its like. */
export class DictView extends ItemsObject {
  override readonly typeName: string;
  override readonly items: readonly Value[];
  readonly isSet: boolean;
  readonly #dict: Dict;

  constructor(kind: "items" | "keys" | "values", dict: Dict) {
    super();
    this.typeName = `dict_${kind}`;
    this.isSet = kind !== "values";
    this.#dict = dict;
    this.items = [...dict.entries].map(([key, value]) =>
      kind === "keys" ? key : kind === "values" ? value : new Tuple([key, value]),
    );
  }

  override attribute(name: string): Value | undefined {
    return name === "mapping" ? this.#dict : undefined;
  }

  override show(runtime: Runtime): string {
    return `${this.typeName}([${this.items.map((item) => runtime.repr(item)).join(", ")}])`;
  }
}

const undefinedKey = "U";

/** A key of equal values in a map. @throws TemplateError "TypeError" for values that Python cannot hash. */
export function hashKey(value: Value): string | PyObject {
  if (typeof value === "string") return `s${value}`;
  if (value instanceof Markup) return `s${value.text}`;
  if (value === null) return "N";
  if (typeof value === "bigint" || typeof value === "boolean") return `n${BigInt(value)}`;
  if (typeof value === "number") return Number.isInteger(value) ? `n${BigInt(value)}` : `f${value}`;
  if (value instanceof Undefined) return undefinedKey;
  if (value instanceof Tuple) {
    const parts = value.items.map((item) => {
      const key = hashKey(item);
      if (typeof key !== "string") throw typeError(`unhashable type: '${key.typeName}'`);
      return `${key.length}:${key}`;
    });
    return `t${parts.join("")}`;
  }
  if (Array.isArray(value) || value instanceof Dict) throw typeError(`unhashable type: '${typeName(value)}'`);
  return value;
}
