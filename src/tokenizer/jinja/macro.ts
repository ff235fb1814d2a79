import type { MacroBody } from "./syntax/ast.ts";
import { typeError } from "./errors.ts";
import { type CallArguments, Dict, PyObject, Tuple, Undefined, type Value } from "./values/index.ts";

/** A macro, or the body of a call block (Jinja2's `Macro`). */
export class Macro extends PyObject {
  override readonly typeName = "Macro";
  readonly #body: MacroBody;
  readonly #run: (values: ReadonlyMap<string, Value | undefined>) => string;

  /** `run` gets values by name, those of the parameters included; undefined where a default is needed. */
  constructor(body: MacroBody, run: (values: ReadonlyMap<string, Value | undefined>) => string) {
    super();
    this.#body = body;
    this.#run = run;
  }

  override attribute(name: string): Value | undefined {
    const { parameters, usesKwargs, usesVarargs, usesCaller } = this.#body;
    if (name === "name") return this.#body.name ?? null;
    if (name === "arguments") return new Tuple(parameters.map((parameter) => parameter.name));
    if (name === "catch_kwargs") return usesKwargs;
    if (name === "catch_varargs") return usesVarargs;
    return name === "caller" ? usesCaller : undefined;
  }

  override call({ positional, named }: CallArguments): Value {
    const { parameters, usesCaller, usesKwargs, usesVarargs } = this.#body;
    const name = this.#body.name === undefined ? "None" : `'${this.#body.name}'`;
    const values = new Map<string, Value | undefined>();
    const rest = new Map(named);
    for (const [i, parameter] of parameters.entries()) {
      const value = i < positional.length ? positional[i] : rest.get(parameter.name);
      if (i >= positional.length) rest.delete(parameter.name);
      values.set(parameter.name, value);
    }
    const hasCallerParameter = parameters.some((parameter) => parameter.name === "caller");
    if (usesCaller && !hasCallerParameter) {
      const caller = rest.get("caller") ?? null;
      rest.delete("caller");
      values.set("caller", caller === null ? new Undefined("No caller defined") : caller);
    }
    if (usesKwargs) values.set("kwargs", new Dict(rest));
    else {
      const [unknown] = rest.keys();
      if (rest.has("caller")) {
        throw typeError(`macro ${name} was invoked with two values for the special caller argument.`);
      }
      if (unknown !== undefined) throw typeError(`macro ${name} takes no keyword argument '${unknown}'`);
    }
    if (usesVarargs) values.set("varargs", new Tuple(positional.slice(parameters.length)));
    else if (positional.length > parameters.length) {
      throw typeError(`macro ${name} takes not more than ${parameters.length} argument(s)`);
    }
    return this.#run(values);
  }

  override show(): string {
    return `<Macro ${this.#body.name === undefined ? "anonymous" : `'${this.#body.name}'`}>`;
  }
}
