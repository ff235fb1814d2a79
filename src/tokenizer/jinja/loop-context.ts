import { typeError } from "./errors.ts";
import {
  type CallArguments,
  iterate,
  lengthOfValue,
  listOf,
  PyFunction,
  PyIterator,
  PyObject,
  type Runtime,
  Tuple,
  Undefined,
  type Value,
} from "./values/index.ts";

/** `loop` inside of a for loop (Jinja2's `LoopContext`). */
export class LoopContext extends PyObject {
  override readonly typeName = "LoopContext";
  readonly #iterable: Value;
  readonly #runtime: Runtime;
  readonly #recurse: ((iterable: Value, depth: number) => string) | undefined;
  readonly #depth0: number;
  #iterator: Iterator<Value>;
  #index0 = -1;
  #length: number | undefined;
  /** The item after the current one, once it has been looked at; `done` at the end. */
  #next: IteratorResult<Value> | undefined;
  #previous: Value = null;
  #current: Value = null;
  #lastChanged: Tuple | undefined;

  constructor(
    iterable: Value,
    runtime: Runtime,
    recurse: ((iterable: Value, depth: number) => string) | undefined,
    depth0: number,
  ) {
    super();
    this.#iterable = iterable;
    this.#runtime = runtime;
    this.#recurse = recurse;
    this.#depth0 = depth0;
    this.#iterator = iterate(iterable);
  }

  /** The next item; undefined at the end. */
  advance(): Value | undefined {
    const step = this.#peek();
    this.#next = undefined;
    if (step.done === true) return undefined;
    this.#index0++;
    this.#previous = this.#current;
    this.#current = step.value;
    return step.value;
  }

  #peek(): IteratorResult<Value> {
    this.#next ??= this.#iterator.next();
    return this.#next;
  }

  /** It is never empty; its length would read the iterable to the end. */
  override get isTrue(): boolean {
    return true;
  }

  override get length(): number {
    if (this.#length !== undefined) return this.#length;
    const known = this.#iterable instanceof PyIterator ? undefined : lengthOfValue(this.#iterable);
    if (known !== undefined) {
      this.#length = known;
      return known;
    }
    const hasNext = this.#next !== undefined && this.#next.done !== true;
    const rest = this.#next?.done === true ? [] : listOf(new PyIterator(this.#iterator), this.#runtime);
    this.#iterator = rest[Symbol.iterator]();
    this.#length = rest.length + this.#index0 + 1 + (hasNext ? 1 : 0);
    return this.#length;
  }

  override attribute(name: string): Value | undefined {
    const index = this.#index0 + 1;
    switch (name) {
      case "index":
        return BigInt(index);
      case "index0":
        return BigInt(this.#index0);
      case "revindex":
        return BigInt(this.length - this.#index0);
      case "revindex0":
        return BigInt(this.length - index);
      case "first":
        return this.#index0 === 0;
      case "last":
        return this.#peek().done === true;
      case "length":
        return BigInt(this.length);
      case "depth":
        return BigInt(this.#depth0 + 1);
      case "depth0":
        return BigInt(this.#depth0);
      case "previtem":
        return this.#index0 === 0 ? new Undefined("there is no previous item") : this.#previous;
      case "nextitem": {
        const step = this.#peek();
        return step.done === true ? new Undefined("there is no next item") : step.value;
      }
      case "cycle":
        return new PyFunction(name, ({ positional }) => {
          const item = positional[this.#index0 % positional.length];
          if (item === undefined) throw typeError("no items for cycling given");
          return item;
        });
      case "changed":
        return new PyFunction(name, ({ positional }, runtime) => {
          const value = new Tuple(positional);
          if (this.#lastChanged !== undefined && runtime.equals(this.#lastChanged, value)) return false;
          this.#lastChanged = value;
          return true;
        });
      default:
        return undefined;
    }
  }

  override call({ positional, named }: CallArguments): Value {
    const [iterable] = positional;
    if (this.#recurse === undefined) {
      throw typeError("The loop must have the 'recursive' marker to be called recursively.");
    }
    if (iterable === undefined || positional.length > 1 || named.size > 0) {
      throw typeError("loop() takes exactly one argument");
    }
    return this.#recurse(iterable, this.#depth0 + 1);
  }

  override show(): string {
    return `<LoopContext ${this.#index0 + 1}/${this.length}>`;
  }
}
