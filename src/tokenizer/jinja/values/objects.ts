import { TemplateError } from "../errors.ts";
import type { Dict } from "./containers.ts";
import { type CallArguments, PyObject, type Runtime, type Value } from "./value.ts";

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
