import type { Budget } from "./budget.ts";
import { isError, TemplateError, typeError } from "./errors.ts";
import { applyFilter, filters } from "./filters/index.ts";
import type { Scope } from "./scope.ts";
import { sequenceMethod } from "./strings/string-methods.ts";
import { quoted } from "./strings/text.ts";
import type { Arguments, Expression } from "./syntax/ast.ts";
import { applyTest, tests } from "./tests.ts";
import { dictMethod, getAttribute, getItem, getSlice } from "./values/attributes.ts";
import {
  type CallArguments,
  Dict,
  isTrue,
  listOf,
  Markup,
  PyObject,
  Range,
  type Runtime,
  Slice,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from "./values/index.ts";
import { showFloat } from "./values/numbers.ts";
import { binary, compareBy, equals, negate, plus } from "./values/operators.ts";

export const callables = {
  filters: new Set(Object.keys(filters)),
  tests: new Set(Object.keys(tests)),
};

/** Evaluates expressions, as Jinja2's compiled code does. It is also the runtime that values and functions use. */
export abstract class ExpressionEvaluator implements Runtime {
  readonly budget: Budget;
  readonly filterNames: ReadonlySet<string> = callables.filters;
  readonly testNames: ReadonlySet<string> = callables.tests;
  readonly #globals: ReadonlyMap<string, Value>;
  /** Whether Jinja2 computes the expression when it compiles the template: then a slice that fails is undefined. */
  protected isFolding = false;

  constructor(globals: ReadonlyMap<string, Value>, budget: Budget) {
    this.#globals = globals;
    this.budget = budget;
  }

  /** `self`, which only statements can make. */
  protected abstract blocks(): Value;

  // Values

  str(value: Value): string {
    if (typeof value === "string") return value;
    if (value instanceof Markup) return value.text;
    return value instanceof Undefined ? "" : this.repr(value);
  }

  repr(value: Value): string {
    if (value === null) return "None";
    if (typeof value === "boolean") return value ? "True" : "False";
    if (typeof value === "bigint") return value.toString();
    if (typeof value === "number") return showFloat(value);
    const shown =
      typeof value === "string"
        ? quoted(value)
        : Array.isArray(value)
          ? `[${value.map((item) => this.repr(item)).join(", ")}]`
          : value.show(this);
    this.budget.spend(shown.length);
    return shown;
  }

  equals(a: Value, b: Value): boolean {
    return equals(a, b, this);
  }

  attribute(object: Value, name: string): Value {
    return getAttribute(object, name, this);
  }

  item(object: Value, key: Value): Value {
    return getItem(object, key, this);
  }

  method(object: PyObject, name: string): Value | undefined {
    if (object instanceof Tuple) return sequenceMethod(object.items, name);
    if (object instanceof Dict) return dictMethod(object, name);
    return object instanceof Range ? sequenceMethod(listOf(object, this), name) : undefined;
  }

  call(callee: Value, args: CallArguments): Value {
    this.budget.step();
    const result = callee instanceof PyObject ? callee.call(args, this) : undefined;
    if (result === undefined) throw typeError(`'${typeName(callee)}' object is not callable`);
    return result;
  }

  filter(name: Value, value: Value, args: CallArguments): Value {
    const found = typeof name === "string" && Object.hasOwn(filters, name) ? filters[name] : undefined;
    if (found === undefined) throw new TemplateError("TemplateRuntimeError", `No filter named ${this.repr(name)}.`);
    this.budget.step();
    return applyFilter(this.str(name), found, value, args, this);
  }

  test(name: Value, value: Value, args: CallArguments): Value {
    const found = typeof name === "string" && Object.hasOwn(tests, name) ? tests[name] : undefined;
    if (found === undefined) throw new TemplateError("TemplateRuntimeError", `No test named ${this.repr(name)}.`);
    this.budget.step();
    return applyTest(this.str(name), found, value, args, this);
  }

  // Expressions

  protected evaluate(node: Expression, scope: Scope): Value {
    this.budget.step();
    switch (node.kind) {
      case "constant":
        return node.value;
      case "name":
        return this.lookUp(node.name, scope);
      case "tuple":
        return new Tuple(node.items.map((item) => this.evaluate(item, scope)));
      case "list":
        return node.items.map((item) => this.evaluate(item, scope));
      case "dict":
        return new Dict(node.pairs.map(([key, value]) => [this.evaluate(key, scope), this.evaluate(value, scope)]));
      case "binary": {
        const left = this.evaluate(node.left, scope);
        return binary(node.operator, left, this.evaluate(node.right, scope), this);
      }
      case "unary": {
        const value = this.evaluate(node.value, scope);
        return node.operator === "-" ? negate(value) : plus(value);
      }
      case "not":
        return !isTrue(this.evaluate(node.value, scope));
      case "and": {
        const left = this.evaluate(node.left, scope);
        return isTrue(left) ? this.evaluate(node.right, scope) : left;
      }
      case "or": {
        const left = this.evaluate(node.left, scope);
        return isTrue(left) ? left : this.evaluate(node.right, scope);
      }
      case "concat": {
        const text = node.items.map((item) => this.str(this.evaluate(item, scope))).join("");
        this.budget.spend(text.length);
        return text;
      }
      case "compare":
        return this.#compare(node, scope);
      case "conditional": {
        if (isTrue(this.evaluate(node.test, scope))) return this.evaluate(node.consequent, scope);
        if (node.otherwise !== undefined) return this.evaluate(node.otherwise, scope);
        const message = `the inline if-expression on line ${node.line} evaluated to false and no else section was defined.`;
        return new Undefined(message);
      }
      case "attribute":
        return this.attribute(this.evaluate(node.object, scope), node.name);
      case "item":
        return this.#evaluateItem(node, scope);
      case "slice":
        return new Slice();
      case "call": {
        const callee = this.evaluate(node.callee, scope);
        return this.call(callee, this.evaluateArguments(node.args, scope));
      }
      case "filter": {
        const value = node.value === undefined ? "" : this.evaluate(node.value, scope);
        return this.filter(node.name, value, this.evaluateArguments(node.args, scope));
      }
      case "test": {
        const value = this.evaluate(node.value, scope);
        return this.test(node.name, value, this.evaluateArguments(node.args, scope));
      }
    }
  }

  protected lookUp(name: string, scope: Scope): Value {
    const variable = scope.get(name);
    const found = variable === undefined ? this.#globals.get(name) : variable;
    if (found !== undefined) return found;
    return name === "self" ? this.blocks() : new Undefined(`${quoted(name)} is undefined`);
  }

  #evaluateItem({ object, index }: Expression & { readonly kind: "item" }, scope: Scope): Value {
    const value = this.evaluate(object, scope);
    if (index.kind !== "slice") return this.item(value, this.evaluate(index, scope));
    const part = (bound: Expression | undefined) => (bound === undefined ? null : this.evaluate(bound, scope));
    const [start, stop, step] = [part(index.start), part(index.stop), part(index.step)];
    try {
      return getSlice(value, start, stop, step, this);
    } catch (error) {
      if (!this.isFolding || value instanceof Undefined || !isError(error, "TypeError")) throw error;
      return new Undefined(`${typeName(value)} object has no such slice`);
    }
  }

  #compare({ first, rest }: Expression & { readonly kind: "compare" }, scope: Scope): boolean {
    let left = this.evaluate(first, scope);
    for (const { operator, value } of rest) {
      const right = this.evaluate(value, scope);
      if (!compareBy(operator, left, right, this)) return false;
      left = right;
    }
    return true;
  }

  protected evaluateArguments(args: Arguments, scope: Scope): CallArguments {
    const positional = args.positional.map((value) => this.evaluate(value, scope));
    const named = new Map<string, Value>();
    for (const { name, value } of args.named) named.set(name, this.evaluate(value, scope));
    if (args.list !== undefined) positional.push(...listOf(this.evaluate(args.list, scope), this));
    if (args.dict !== undefined) {
      const dict = this.evaluate(args.dict, scope);
      if (!(dict instanceof Dict)) throw typeError(`argument after ** must be a mapping, not ${typeName(dict)}`);
      for (const [key, value] of dict.entries) {
        if (typeof key !== "string") throw typeError("keywords must be strings");
        if (named.has(key)) throw typeError(`got multiple values for keyword argument '${key}'`);
        named.set(key, value);
      }
    }
    return { positional, named };
  }
}
