import type { Arguments, Expression } from "./ast.ts";

/** Filters that read the state of a rendering, so that Jinja2 cannot call them before. */
const needContext: ReadonlySet<string> = new Set(["map", "reject", "rejectattr", "select", "selectattr"]);

/** Whether Jinja2 computes an expression when it compiles a template: it has neither names nor calls. */
export function isConstant(node: Expression): boolean {
  switch (node.kind) {
    case "constant":
      return true;
    case "name":
    case "call":
      return false;
    case "tuple":
    case "list":
    case "concat":
      return node.items.every(isConstant);
    case "dict":
      return node.pairs.every(([key, value]) => isConstant(key) && isConstant(value));
    case "binary":
    case "and":
    case "or":
      return isConstant(node.left) && isConstant(node.right);
    case "unary":
    case "not":
      return isConstant(node.value);
    case "compare":
      return isConstant(node.first) && node.rest.every(({ value }) => isConstant(value));
    case "conditional":
      return [node.test, node.consequent, node.otherwise].every(isOptional);
    case "attribute":
      return isConstant(node.object);
    case "item":
      return isConstant(node.object) && isConstant(node.index);
    case "slice":
      return [node.start, node.stop, node.step].every(isOptional);
    case "filter":
      return !needContext.has(node.name) && isOptional(node.value) && hasConstants(node.args);
    case "test":
      return isConstant(node.value) && hasConstants(node.args);
  }
}

function isOptional(node: Expression | undefined): boolean {
  return node === undefined || isConstant(node);
}

function hasConstants({ positional, named, list, dict }: Arguments): boolean {
  return [...positional, ...named.map(({ value }) => value), list, dict].every(isOptional);
}
