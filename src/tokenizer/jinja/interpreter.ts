import type { Budget } from "./budget.ts";
import { TemplateError, typeError, valueError } from "./errors.ts";
import { ExpressionEvaluator } from "./expression-evaluator.ts";
import { LoopContext } from "./loop-context.ts";
import { Macro } from "./macro.ts";
import { Output } from "./output.ts";
import { Scope } from "./scope.ts";
import { quoted } from "./strings/text.ts";
import type { Expression, MacroBody, Statement, Target, Template } from "./syntax/ast.ts";
import {
  Dict,
  isTrue,
  iterate,
  Namespace,
  PyFunction,
  PyIterator,
  typeName,
  Undefined,
  type Value,
} from "./values/index.ts";

/** How a statement ended: `break` and `continue` leave everything up to the loop. */
type Signal = "break" | "continue" | undefined;
/** Statements run as generators, so that a long rendering lets other work run in between. */
type Steps<Result> = Generator<undefined, Result>;

/** Runs the statements of a template, as Jinja2's compiled code does. */
export class Interpreter extends ExpressionEvaluator {
  readonly #template: Template;
  readonly #root: Scope;

  constructor(
    template: Template,
    variables: Iterable<readonly [string, Value]>,
    globals: ReadonlyMap<string, Value>,
    budget: Budget,
  ) {
    super(globals, budget);
    this.#template = template;
    const context = new Scope();
    for (const [name, value] of variables) context.set(name, value);
    this.#root = new Scope(context);
  }

  *run(): Steps<string> {
    const output = new Output(this.budget);
    yield* this.#execute(this.#template.body, this.#root, output);
    return output.text;
  }

  /** `self`, through which a template renders its blocks again. */
  protected override blocks(): Value {
    const { blocks } = this.#template;
    const items = [...blocks].map(([name, body]): [Value, Value] => [
      name,
      new PyFunction(name, () => this.#text(body, new Scope(this.#root))),
    ]);
    return new Namespace(new Dict(items));
  }

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
        this.isFolding = node.isConstant;
        output.write(this.str(this.evaluate(node.value, scope)));
        this.isFolding = false;
        return undefined;
      case "for":
        return yield* this.#for(node, scope, output);
      case "if":
        for (const { test, body } of node.branches) {
          if (test === undefined || isTrue(this.evaluate(test, scope)))
            return yield* this.#execute(body, scope, output);
        }
        return undefined;
      case "set":
        this.#checkNamespaces(node.target, scope);
        this.#assign(node.target, this.evaluate(node.value, scope), scope);
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
        const callee = this.evaluate(node.call.callee, scope);
        const { positional, named } = this.evaluateArguments(node.call.args, scope);
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
        for (const { target, value } of node.assignments) this.#assign(target, this.evaluate(value, scope), inner);
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
    const iterable = this.evaluate(node.iterable, scope);
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
      if (isTrue(this.evaluate(test, inner))) yield step.value;
    }
    return undefined;
  }

  #filterBlock(node: Expression & { readonly kind: "filter" }, text: string, scope: Scope): Value {
    const value =
      node.value === undefined
        ? text
        : node.value.kind === "filter"
          ? this.#filterBlock(node.value, text, scope)
          : this.evaluate(node.value, scope);
    return this.filter(node.name, value, this.evaluateArguments(node.args, scope));
  }

  /** Only namespaces have attributes that can be set. */
  #checkNamespaces(target: Target, scope: Scope): void {
    if (target.kind === "tuple") for (const item of target.items) this.#checkNamespaces(item, scope);
    if (target.kind === "attribute" && !(this.lookUp(target.object, scope) instanceof Namespace)) {
      throw new TemplateError("TemplateRuntimeError", "cannot assign attribute on non-namespace object");
    }
  }

  #assign(target: Target, value: Value, scope: Scope): void {
    if (target.kind === "name") {
      scope.set(target.name, value);
      return;
    }
    if (target.kind === "attribute") {
      const namespace = this.lookUp(target.object, scope);
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
            : this.evaluate(byDefault, inner);
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
