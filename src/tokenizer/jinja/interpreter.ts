import type { Arguments, Expression, MacroBody, Statement, Target, Template } from "./syntax/ast.ts";
import { dictMethod, getAttribute, getItem, getSlice } from "./values/attributes.ts";
import type { Budget } from "./budget.ts";
import { isError, TemplateError, typeError, valueError } from "./errors.ts";
import { applyFilter, filters } from "./filters/index.ts";
import { LoopContext } from "./loop-context.ts";
import { Macro } from "./macro.ts";
import { showFloat } from "./values/numbers.ts";
import { binary, compareBy, equals, negate, plus } from "./values/operators.ts";
import { Output } from "./output.ts";
import { Scope } from "./scope.ts";
import { sequenceMethod } from "./strings/string-methods.ts";
import { applyTest, tests } from "./tests.ts";
import { quoted } from "./strings/text.ts";
import {
  type CallArguments,
  Dict,
  isTrue,
  iterate,
  listOf,
  Markup,
  Namespace,
  PyFunction,
  PyIterator,
  PyObject,
  Range,
  Slice,
  type Runtime,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from "./values/index.ts";

/** How a statement ended: `break` and `continue` leave everything up to the loop. */
type Signal = "break" | "continue" | undefined;
/** Statements run as generators, so that a long rendering lets other work run in between. */
type Steps<Result> = Generator<undefined, Result>;

export const callables = {
  filters: new Set(Object.keys(filters)),
  tests: new Set(Object.keys(tests)),
};

/** Evaluates a template, as Jinja2's compiled code does. */
export class Interpreter implements Runtime {
  readonly budget: Budget;
  readonly filterNames: ReadonlySet<string> = callables.filters;
  readonly testNames: ReadonlySet<string> = callables.tests;
  readonly #template: Template;
  readonly #root: Scope;
  readonly #globals: ReadonlyMap<string, Value>;
  /** Whether Jinja2 computes the expression when it compiles the template: then a slice that fails is undefined. */
  #isFolding = false;

  constructor(
    template: Template,
    variables: Iterable<readonly [string, Value]>,
    globals: ReadonlyMap<string, Value>,
    budget: Budget,
  ) {
    this.#template = template;
    this.#globals = globals;
    this.budget = budget;
    const context = new Scope();
    for (const [name, value] of variables) context.set(name, value);
    this.#root = new Scope(context);
  }

  *run(): Steps<string> {
    const output = new Output(this.budget);
    yield* this.#execute(this.#template.body, this.#root, output);
    return output.text;
  }

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

  #evaluate(node: Expression, scope: Scope): Value {
    this.budget.step();
    switch (node.kind) {
      case "constant":
        return node.value;
      case "name":
        return this.#lookUp(node.name, scope);
      case "tuple":
        return new Tuple(node.items.map((item) => this.#evaluate(item, scope)));
      case "list":
        return node.items.map((item) => this.#evaluate(item, scope));
      case "dict":
        return new Dict(node.pairs.map(([key, value]) => [this.#evaluate(key, scope), this.#evaluate(value, scope)]));
      case "binary": {
        const left = this.#evaluate(node.left, scope);
        return binary(node.operator, left, this.#evaluate(node.right, scope), this);
      }
      case "unary": {
        const value = this.#evaluate(node.value, scope);
        return node.operator === "-" ? negate(value) : plus(value);
      }
      case "not":
        return !isTrue(this.#evaluate(node.value, scope));
      case "and": {
        const left = this.#evaluate(node.left, scope);
        return isTrue(left) ? this.#evaluate(node.right, scope) : left;
      }
      case "or": {
        const left = this.#evaluate(node.left, scope);
        return isTrue(left) ? left : this.#evaluate(node.right, scope);
      }
      case "concat": {
        const text = node.items.map((item) => this.str(this.#evaluate(item, scope))).join("");
        this.budget.spend(text.length);
        return text;
      }
      case "compare":
        return this.#compare(node, scope);
      case "conditional": {
        if (isTrue(this.#evaluate(node.test, scope))) return this.#evaluate(node.consequent, scope);
        if (node.otherwise !== undefined) return this.#evaluate(node.otherwise, scope);
        const message = `the inline if-expression on line ${node.line} evaluated to false and no else section was defined.`;
        return new Undefined(message);
      }
      case "attribute":
        return this.attribute(this.#evaluate(node.object, scope), node.name);
      case "item":
        return this.#evaluateItem(node, scope);
      case "slice":
        return new Slice();
      case "call": {
        const callee = this.#evaluate(node.callee, scope);
        return this.call(callee, this.#arguments(node.args, scope));
      }
      case "filter": {
        const value = node.value === undefined ? "" : this.#evaluate(node.value, scope);
        return this.filter(node.name, value, this.#arguments(node.args, scope));
      }
      case "test": {
        const value = this.#evaluate(node.value, scope);
        return this.test(node.name, value, this.#arguments(node.args, scope));
      }
    }
  }

  #lookUp(name: string, scope: Scope): Value {
    const variable = scope.get(name);
    const found = variable === undefined ? this.#globals.get(name) : variable;
    if (found !== undefined) return found;
    return name === "self" ? this.#blocks() : new Undefined(`${quoted(name)} is undefined`);
  }

  #evaluateItem({ object, index }: Expression & { readonly kind: "item" }, scope: Scope): Value {
    const value = this.#evaluate(object, scope);
    if (index.kind !== "slice") return this.item(value, this.#evaluate(index, scope));
    const part = (bound: Expression | undefined) => (bound === undefined ? null : this.#evaluate(bound, scope));
    const [start, stop, step] = [part(index.start), part(index.stop), part(index.step)];
    try {
      return getSlice(value, start, stop, step, this);
    } catch (error) {
      if (!this.#isFolding || value instanceof Undefined || !isError(error, "TypeError")) throw error;
      return new Undefined(`${typeName(value)} object has no such slice`);
    }
  }

  #compare({ first, rest }: Expression & { readonly kind: "compare" }, scope: Scope): boolean {
    let left = this.#evaluate(first, scope);
    for (const { operator, value } of rest) {
      const right = this.#evaluate(value, scope);
      if (!compareBy(operator, left, right, this)) return false;
      left = right;
    }
    return true;
  }

  #arguments(args: Arguments, scope: Scope): CallArguments {
    const positional = args.positional.map((value) => this.#evaluate(value, scope));
    const named = new Map<string, Value>();
    for (const { name, value } of args.named) named.set(name, this.#evaluate(value, scope));
    if (args.list !== undefined) positional.push(...listOf(this.#evaluate(args.list, scope), this));
    if (args.dict !== undefined) {
      const dict = this.#evaluate(args.dict, scope);
      if (!(dict instanceof Dict)) throw typeError(`argument after ** must be a mapping, not ${typeName(dict)}`);
      for (const [key, value] of dict.entries) {
        if (typeof key !== "string") throw typeError("keywords must be strings");
        if (named.has(key)) throw typeError(`got multiple values for keyword argument '${key}'`);
        named.set(key, value);
      }
    }
    return { positional, named };
  }

  /** `self`, through which a template renders its blocks again. */
  #blocks(): Value {
    const { blocks } = this.#template;
    const items = [...blocks].map(([name, body]): [Value, Value] => [
      name,
      new PyFunction(name, () => this.#text(body, new Scope(this.#root))),
    ]);
    return new Namespace(new Dict(items));
  }

  // Statements

  *#execute(body: readonly Statement[], scope: Scope, output: Output): Steps<Signal> {
    for (const statement of body) {
      this.budget.step();
      if (this.budget.endsTurn()) yield;
      const signal = yield* this.#executeOne(statement, scope, output);
      if (signal !== undefined) return signal;
    }
    return undefined;
  }

  *#executeOne(node: Statement, scope: Scope, output: Output): Steps<Signal> {
    switch (node.kind) {
      case "data":
        output.write(node.text);
        return undefined;
      case "output":
        this.#isFolding = node.isConstant;
        output.write(this.str(this.#evaluate(node.value, scope)));
        this.#isFolding = false;
        return undefined;
      case "for":
        return yield* this.#for(node, scope, output);
      case "if":
        for (const { test, body } of node.branches) {
          if (test === undefined || isTrue(this.#evaluate(test, scope)))
            return yield* this.#execute(body, scope, output);
        }
        return undefined;
      case "set":
        this.#checkNamespaces(node.target, scope);
        this.#assign(node.target, this.#evaluate(node.value, scope), scope);
        return undefined;
      case "set-block": {
        const inner = new Output(this.budget);
        const innerScope = new Scope(scope);
        const signal = yield* this.#execute(node.body, innerScope, inner);
        if (signal !== undefined) return signal;
        const value = node.filter === undefined ? inner.text : this.#filterBlock(node.filter, inner.text, innerScope);
        this.#checkNamespaces(node.target, scope);
        this.#assign(node.target, value, scope);
        return undefined;
      }
      case "filter": {
        const inner = new Output(this.budget);
        const innerScope = new Scope(scope);
        const signal = yield* this.#execute(node.body, innerScope, inner);
        if (signal !== undefined) return signal;
        output.write(this.str(this.#filterBlock(node.filter, inner.text, innerScope)));
        return undefined;
      }
      case "macro":
        scope.set(node.macro.name, this.#macro(node.macro, scope));
        return undefined;
      case "call": {
        const callee = this.#evaluate(node.call.callee, scope);
        const { positional, named } = this.#arguments(node.call.args, scope);
        const caller = this.#macro(node.macro, scope);
        const result = this.call(callee, { positional, named: new Map([...named, ["caller", caller]]) });
        output.write(this.str(result));
        return undefined;
      }
      case "generation":
        output.write(this.str(this.call(this.#macro(node.macro, scope), { positional: [], named: new Map() })));
        return undefined;
      case "with": {
        const inner = new Scope(scope);
        for (const { target, value } of node.assignments) this.#assign(target, this.#evaluate(value, scope), inner);
        return yield* this.#execute(node.body, inner, output);
      }
      case "block": {
        if (node.isRequired) {
          throw new TemplateError("TemplateRuntimeError", `Required block '${node.name}' not found`);
        }
        const body = this.#template.blocks.get(node.name) ?? [];
        yield* this.#execute(body, new Scope(node.isScoped ? scope : this.#root), output);
        return undefined;
      }
      case "break":
      case "continue":
        return node.kind;
      case "load":
        throw typeError(`${node.what}: there are no other templates`);
    }
  }

  *#for(node: Statement & { readonly kind: "for" }, scope: Scope, output: Output): Steps<Signal> {
    const iterable = this.#evaluate(node.iterable, scope);
    return yield* this.#loop(node, iterable, 0, scope, output);
  }

  *#loop(
    node: Statement & { readonly kind: "for" },
    iterable: Value,
    depth: number,
    scope: Scope,
    output: Output,
  ): Steps<Signal> {
    const recurse = node.isRecursive
      ? (inner: Value, innerDepth: number) => {
          const text = new Output(this.budget);
          drain(this.#loop(node, inner, innerDepth, scope, text));
          return text.text;
        }
      : undefined;
    const { test } = node;
    const items = test === undefined ? iterable : new PyIterator(this.#filtered(iterable, node.target, test, scope));
    const loop = new LoopContext(items, this, recurse, depth);
    // As in Jinja2, an iteration that is left early does not count.
    let isEmpty = true;
    for (let item = loop.advance(); item !== undefined; item = loop.advance()) {
      this.budget.step();
      if (this.budget.endsTurn()) yield;
      const inner = new Scope(scope);
      this.#assign(node.target, item, inner);
      inner.set("loop", loop);
      const signal = yield* this.#execute(node.body, inner, output);
      if (signal === "break") break;
      if (signal === undefined) isEmpty = false;
    }
    return isEmpty ? yield* this.#execute(node.otherwise, new Scope(scope), output) : undefined;
  }

  *#filtered(iterable: Value, target: Target, test: Expression, scope: Scope): Generator<Value, undefined> {
    const iterator = iterate(iterable);
    for (let step = iterator.next(); step.done !== true; step = iterator.next()) {
      const inner = new Scope(scope);
      this.#assign(target, step.value, inner);
      if (isTrue(this.#evaluate(test, inner))) yield step.value;
    }
    return undefined;
  }

  #filterBlock(node: Expression & { readonly kind: "filter" }, text: string, scope: Scope): Value {
    const value =
      node.value === undefined
        ? text
        : node.value.kind === "filter"
          ? this.#filterBlock(node.value, text, scope)
          : this.#evaluate(node.value, scope);
    return this.filter(node.name, value, this.#arguments(node.args, scope));
  }

  /** Only namespaces have attributes that can be set. */
  #checkNamespaces(target: Target, scope: Scope): void {
    if (target.kind === "tuple") for (const item of target.items) this.#checkNamespaces(item, scope);
    if (target.kind === "attribute" && !(this.#lookUp(target.object, scope) instanceof Namespace)) {
      throw new TemplateError("TemplateRuntimeError", "cannot assign attribute on non-namespace object");
    }
  }

  #assign(target: Target, value: Value, scope: Scope): void {
    if (target.kind === "name") {
      scope.set(target.name, value);
      return;
    }
    if (target.kind === "attribute") {
      const namespace = this.#lookUp(target.object, scope);
      if (namespace instanceof Namespace) namespace.set(target.name, value);
      return;
    }
    const n = target.items.length;
    const iterator = unpacked(value);
    const items: Value[] = [];
    for (let step = iterator.next(); step.done !== true; step = iterator.next()) {
      items.push(step.value);
      if (items.length > n) throw valueError(`too many values to unpack (expected ${n})`);
    }
    if (items.length < n) throw valueError(`not enough values to unpack (expected ${n}, got ${items.length})`);
    for (const [i, item] of target.items.entries()) this.#assign(item, items[i] ?? null, scope);
  }

  #macro(body: MacroBody, scope: Scope): Macro {
    return new Macro(body, (values) => {
      const inner = new Scope(scope);
      for (const [name, value] of values) if (value !== undefined) inner.set(name, value);
      for (const { name, byDefault } of body.parameters) {
        if (values.get(name) !== undefined) continue;
        const value =
          byDefault === undefined
            ? new Undefined(`parameter ${quoted(name)} was not provided`)
            : this.#evaluate(byDefault, inner);
        inner.set(name, value);
      }
      return this.#text(body.body, inner);
    });
  }

  #text(body: readonly Statement[], scope: Scope): string {
    const output = new Output(this.budget);
    drain(this.#execute(body, scope, output));
    return output.text;
  }
}

function unpacked(value: Value): Iterator<Value> {
  try {
    return iterate(value);
  } catch {
    throw typeError(`cannot unpack non-iterable ${typeName(value)} object`);
  }
}

/** Runs to the end at once. */
function drain(steps: Steps<unknown>): void {
  while (steps.next().done !== true);
}
