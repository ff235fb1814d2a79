import type { Budget } from "../budget.ts";
import { TemplateError, typeError } from "../errors.ts";
import { isSimple, quoted } from "../strings/text.ts";

/**
 * Python values: int is bigint, float is number, str is string, list is an array; all others are objects.
 */
export type Value = null | boolean | bigint | number | string | Value[] | PyObject;

export interface CallArguments {
  readonly positional: readonly Value[];
  readonly named: ReadonlyMap<string, Value>;
}

/** The state of a rendering that values and functions use. */
export interface Runtime {
  readonly budget: Budget;
  /** Methods of tuple, dict and range, which need functions that need values. */
  readonly methods: {
    tuple(tuple: Tuple, name: string): Value | undefined;
    dict(dict: Dict, name: string): Value | undefined;
    range(range: Range, name: string): Value | undefined;
  };
  str(value: Value): string;
  repr(value: Value): string;
  equals(a: Value, b: Value): boolean;
  /** `object.name` in a template. */
  attribute(object: Value, name: string): Value;
  /** `object[key]` in a template. */
  item(object: Value, key: Value): Value;
  call(callee: Value, args: CallArguments): Value;
  filter(name: Value, value: Value, args: CallArguments): Value;
  test(name: Value, value: Value, args: CallArguments): Value;
  readonly filterNames: ReadonlySet<string>;
  readonly testNames: ReadonlySet<string>;
}

/** A Python object. What it does not define raises TypeError, as in Python. */
export abstract class PyObject {
  /** `type(value).__name__` */
  abstract readonly typeName: string;

  get isTrue(): boolean {
    return true;
  }

  /** An attribute; undefined if it has none of that name. */
  attribute(_name: string, _runtime: Runtime): Value | undefined {
    return undefined;
  }

  /** Undefined if it is not iterable. */
  iterate(): Iterator<Value> | undefined {
    return undefined;
  }

  /** Undefined if it has no length. */
  get length(): number | undefined {
    return undefined;
  }

  /** Undefined if it cannot be called. */
  call(_args: CallArguments, _runtime: Runtime): Value | undefined {
    return undefined;
  }

  /** `repr`. */
  show(_runtime: Runtime): string {
    return `<${this.typeName} object>`;
  }
}

/** A name, attribute or item that does not exist (Jinja2's `Undefined`). */
export class Undefined extends PyObject {
  override readonly typeName = "Undefined";
  readonly #message: string;
  readonly #type: "UndefinedError" | "SecurityError";

  constructor(message: string, type: "UndefinedError" | "SecurityError" = "UndefinedError") {
    super();
    this.#message = message;
    this.#type = type;
  }

  get error(): TemplateError {
    return new TemplateError(this.#type, this.#message);
  }

  override get isTrue(): boolean {
    return false;
  }

  override get length(): number {
    return 0;
  }

  override iterate(): Iterator<Value> {
    return [][Symbol.iterator]();
  }

  override attribute(name: string): undefined {
    if (/^__.*__$/.test(name)) return undefined;
    throw this.error;
  }

  override call(): never {
    throw this.error;
  }

  override show(): string {
    return "Undefined";
  }
}

/** An object with items in order. */
abstract class ItemsObject extends PyObject {
  abstract readonly items: readonly Value[];

  override get isTrue(): boolean {
    return this.items.length > 0;
  }

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
    return at < 0 ? runtime.methods.tuple(this, name) : this.items[at];
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

  override get isTrue(): boolean {
    return this.#entries.size > 0;
  }

  *#keys(): Generator<Value, undefined> {
    for (const [key] of this.#entries.values()) yield key;
    return undefined;
  }

  override iterate(): Iterator<Value> {
    return this.#keys();
  }

  override attribute(name: string, runtime: Runtime): Value | undefined {
    return runtime.methods.dict(this, name);
  }

  override show(runtime: Runtime): string {
    const entries = [...this.entries].map(([key, value]) => `${runtime.repr(key)}: ${runtime.repr(value)}`);
    return `{${entries.join(", ")}}`;
  }
}

/**
 * Text that `escape` and `safe` made (markupsafe's `Markup`): a string, to which other strings are only added escaped.
 */
export class Markup extends PyObject {
  override readonly typeName = "Markup";
  readonly text: string;

  constructor(text: string) {
    super();
    this.text = text;
  }

  override get isTrue(): boolean {
    return this.text !== "";
  }

  override get length(): number | undefined {
    return lengthOfValue(this.text);
  }

  override iterate(): Iterator<Value> {
    return iterate(this.text);
  }

  override show(): string {
    return `Markup(${quoted(this.text)})`;
  }
}

/** A string instead of markup. */
export function plain(value: Value): Value {
  return value instanceof Markup ? value.text : value;
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

export class Range extends PyObject {
  override readonly typeName = "range";
  readonly start: bigint;
  readonly stop: bigint;
  readonly step: bigint;
  readonly #length: number;

  constructor(start: bigint, stop: bigint, step: bigint) {
    super();
    if (step === 0n) throw new TemplateError("ValueError", "range() arg 3 must not be zero");
    this.start = start;
    this.stop = stop;
    this.step = step;
    const span = step > 0n ? stop - start : start - stop;
    const size = step > 0n ? step : -step;
    this.#length = span <= 0n ? 0 : Number((span + size - 1n) / size);
  }

  override get isTrue(): boolean {
    return this.length > 0;
  }

  override get length(): number {
    return this.#length;
  }

  override attribute(name: string, runtime: Runtime): Value | undefined {
    if (name === "start" || name === "stop" || name === "step") return this[name];
    return name === "count" || name === "index" ? runtime.methods.range(this, name) : undefined;
  }

  at(index: number): bigint {
    return this.start + BigInt(index) * this.step;
  }

  *#values(): Generator<Value, undefined> {
    for (let i = 0; i < this.length; i++) yield this.at(i);
    return undefined;
  }

  override iterate(): Iterator<Value> {
    return this.#values();
  }

  override show(): string {
    return `range(${this.start}, ${this.stop}${this.step === 1n ? "" : `, ${this.step}`})`;
  }
}

/** A Python generator or iterator: it can be read once, and is always true. */
export class PyIterator extends PyObject {
  override readonly typeName: string;
  readonly #iterator: Iterator<Value>;

  constructor(iterator: Iterator<Value>, typeName = "generator") {
    super();
    this.#iterator = iterator;
    this.typeName = typeName;
  }

  override iterate(): Iterator<Value> {
    return this.#iterator;
  }
}

/** A function or method. */
export class PyFunction extends PyObject {
  override readonly typeName: string;
  readonly name: string;
  readonly #run: (args: CallArguments, runtime: Runtime) => Value;

  constructor(
    name: string,
    run: (args: CallArguments, runtime: Runtime) => Value,
    typeName = "builtin_function_or_method",
  ) {
    super();
    this.name = name;
    this.#run = run;
    this.typeName = typeName;
  }

  override call(args: CallArguments, runtime: Runtime): Value {
    return this.#run(args, runtime);
  }

  override show(): string {
    return `<built-in function ${this.name}>`;
  }
}

/** A slice among other indices (`x[1:2, 0]`), which no value in a template accepts. */
export class Slice extends PyObject {
  override readonly typeName = "slice";
}

/** `namespace()`, which transformers keeps from names that begin with an underscore. */
export class Namespace extends PyObject {
  override readonly typeName = "Namespace";
  readonly #attributes: Dict;

  constructor(attributes: Dict) {
    super();
    this.#attributes = attributes;
    for (const [name] of attributes.entries) checkNamespaceName(name);
  }

  set(name: string, value: Value): void {
    checkNamespaceName(name);
    this.#attributes.set(name, value);
  }

  override attribute(name: string): Value | undefined {
    return this.#attributes.get(name);
  }

  override show(runtime: Runtime): string {
    return `<Namespace ${this.#attributes.show(runtime)}>`;
  }
}

function checkNamespaceName(name: Value): void {
  if (typeof name !== "string" || !name.startsWith("_")) return;
  const message = `Chat templates cannot store underscore-prefixed attributes on a namespace, but got '${name}'`;
  throw new TemplateError("SecurityError", message);
}

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
