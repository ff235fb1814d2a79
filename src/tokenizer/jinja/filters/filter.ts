import { TemplateError, typeError } from "../errors.ts";
import { lower } from "../strings/letter-case.ts";
import { type Bound, type Signature, signature } from "../values/signature.ts";
import {
  type CallArguments,
  isTrue,
  iterate,
  PyIterator,
  plain,
  type Runtime,
  typeName,
  Undefined,
  type Value,
} from "../values/index.ts";

export interface Filter {
  readonly signature: Signature | undefined;
  /** `args` are bound to the signature's parameters, the filtered value first. */
  readonly run: (args: Bound, runtime: Runtime) => Value;
  /** Instead of `run`, for filters that take any arguments. */
  readonly runWith?: (value: Value, args: CallArguments, runtime: Runtime) => Value;
}

export const filter = (parameters: string, run: (args: Bound, runtime: Runtime) => Value): Filter => ({
  signature: signature(parameters),
  run,
});

export const free = (runWith: (value: Value, args: CallArguments, runtime: Runtime) => Value): Filter => ({
  signature: undefined,
  run: () => null,
  runWith,
});

export const argumentError = (message: string) => new TemplateError("TemplateRuntimeError", message);

/** A filter of a string: `str(value)`, then `run`. */
export const textFilter = (parameters: string, run: (text: string, args: Bound, runtime: Runtime) => Value): Filter =>
  filter(`s ${parameters}`, ([value = null, ...args], runtime) => {
    const text = runtime.str(value);
    runtime.budget.spend(text.length);
    return run(text, args, runtime);
  });

export function flag(value: Value | undefined, byDefault = false): boolean {
  return value === undefined ? byDefault : isTrue(value);
}

export function textArgument(value: Value | undefined, what: string): string {
  if (typeof value !== "string") throw typeError(`${what} must be str, not ${typeName(value ?? null)}`);
  return value;
}

/** A value that must be a string. */
export function textValue(value: Value | undefined): string {
  if (value instanceof Undefined) throw value.error;
  if (typeof value !== "string")
    throw new TemplateError("AttributeError", `expected str, found ${typeName(value ?? null)}`);
  return value;
}

export function ignoreCase(value: Value): Value {
  const text = plain(value);
  return typeof text === "string" ? lower(text) : text;
}

/** Jinja2's `make_attrgetter`: "a.b.0" and the like. */
export function attributeGetter(
  attribute: Value | undefined,
  runtime: Runtime,
  byDefault: Value = null,
): (item: Value) => Value {
  const parts: readonly Value[] =
    attribute === undefined || attribute === null
      ? []
      : typeof attribute === "string"
        ? attribute.split(".").map((part) => (/^\d+$/.test(part) ? BigInt(part) : part))
        : [attribute];
  return (item) => {
    let value = item;
    for (const part of parts) {
      value = runtime.item(value, part);
      if (value instanceof Undefined && byDefault !== null) value = byDefault;
    }
    return value;
  };
}

/** A lazy Python generator over a value. */
export function generator(make: () => Generator<Value, undefined>): PyIterator {
  return new PyIterator(make());
}

export function* eachItem(value: Value, runtime: Runtime): Generator<Value, undefined> {
  const iterator = iterate(value);
  for (let step = iterator.next(); step.done !== true; step = iterator.next()) {
    runtime.budget.step();
    yield step.value;
  }
  return undefined;
}
