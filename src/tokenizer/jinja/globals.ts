import { dictMethod, makeDict } from "./values/attributes.ts";
import { RaisedByTemplate, TemplateError, typeError } from "./errors.ts";
import { strftime } from "./format/strftime.ts";
import {
  type CallArguments,
  Dict,
  integerOf,
  Namespace,
  plain,
  PyFunction,
  PyObject,
  Range,
  type Runtime,
  typeName,
  Undefined,
  type Value,
} from "./values/index.ts";

/** As in Jinja2's sandbox. */
const MAX_RANGE = 100_000;

/** `cycler(…)` */
class Cycler extends PyObject {
  override readonly typeName = "Cycler";
  readonly #items: readonly Value[];
  #at = 0;

  constructor(items: readonly Value[]) {
    super();
    if (items.length === 0) throw new TemplateError("RuntimeError", "at least one item has to be provided");
    this.#items = items;
  }

  override attribute(name: string): Value | undefined {
    const current = this.#items[this.#at] ?? null;
    if (name === "current") return current;
    if (name === "pos") return BigInt(this.#at);
    if (name === "next") {
      return new PyFunction(name, () => {
        const item = this.#items[this.#at] ?? null;
        this.#at = (this.#at + 1) % this.#items.length;
        return item;
      });
    }
    if (name !== "reset") return undefined;
    return new PyFunction(name, () => {
      this.#at = 0;
      return null;
    });
  }
}

/** `joiner(separator)` */
class Joiner extends PyObject {
  override readonly typeName = "Joiner";
  readonly #separator: Value;
  #isUsed = false;

  constructor(separator: Value) {
    super();
    this.#separator = separator;
  }

  override call(): Value {
    if (this.#isUsed) return this.#separator;
    this.#isUsed = true;
    return "";
  }
}

/** `dict(…)`, of which transformers leaves these two to templates. */
class DictConstructor extends PyObject {
  override readonly typeName = "TemplateDict";

  override call(args: CallArguments, runtime: Runtime): Value {
    return makeDict(args, runtime);
  }

  override attribute(name: string): Value | undefined {
    return name === "fromkeys" ? dictMethod(new Dict(), name) : undefined;
  }
}

function range(positional: readonly Value[]): Range {
  const numbers = positional.map((value) => {
    if (value instanceof Undefined) throw value.error;
    const integer = integerOf(value);
    if (integer === undefined) throw typeError(`'${typeName(value)}' object cannot be interpreted as an integer`);
    return integer;
  });
  const [first, second, step = 1n] = numbers;
  if (first === undefined || numbers.length > 3) {
    throw typeError(`range expected 1 to 3 arguments, got ${numbers.length}`);
  }
  const made = second === undefined ? new Range(0n, first, 1n) : new Range(first, second, step);
  if (made.length > MAX_RANGE) {
    throw new TemplateError("OverflowError", `range of ${made.length} is longer than ${MAX_RANGE}`);
  }
  return made;
}

/** The globals of Jinja2 and transformers. */
export function globalsAt(now: Date): ReadonlyMap<string, Value> {
  const functions: Readonly<Record<string, (positional: readonly Value[], runtime: Runtime) => Value>> = {
    range,
    cycler: (items) => new Cycler(items),
    joiner: ([separator = ", "]) => new Joiner(separator),
    lipsum: () => {
      throw new TemplateError("TemplateRuntimeError", "lipsum() is not supported");
    },
    raise_exception: ([message], runtime) => {
      if (message === undefined) throw typeError("raise_exception() missing 1 required argument: 'message'");
      throw new RaisedByTemplate(runtime.str(message));
    },
    strftime_now: ([given = null]) => {
      const format = plain(given);
      if (typeof format !== "string") throw typeError("strftime() argument 1 must be str");
      return strftime(now, format);
    },
  };
  const globals = new Map<string, Value>();
  for (const [name, run] of Object.entries(functions)) {
    globals.set(
      name,
      new PyFunction(name, ({ positional, named }, runtime) => run(argumentsOf(name, positional, named), runtime)),
    );
  }
  globals.set("dict", new DictConstructor());
  globals.set(
    "namespace",
    new PyFunction("namespace", (args, runtime) => new Namespace(makeDict(args, runtime)), "type"),
  );
  return globals;
}

/** Names of parameters that may be given by name. */
const parameterNames: Readonly<Record<string, string>> = {
  joiner: "sep",
  raise_exception: "message",
  strftime_now: "format",
};

function argumentsOf(name: string, positional: readonly Value[], named: ReadonlyMap<string, Value>): readonly Value[] {
  const [first] = named;
  if (first === undefined) return positional;
  if (named.size === 1 && positional.length === 0 && first[0] === parameterNames[name]) return [first[1]];
  throw typeError(`${name}() got an unexpected keyword argument '${first[0]}'`);
}
