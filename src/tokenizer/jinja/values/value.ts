import type { Budget } from "../budget.ts";

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
  /** A method of a tuple, dict or range. Methods are functions, which are values, so that values cannot define them. */
  method(object: PyObject, name: string): Value | undefined;
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

  /** `bool(value)`: as in Python, false where there is a length of 0. */
  get isTrue(): boolean {
    return this.length !== 0;
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
