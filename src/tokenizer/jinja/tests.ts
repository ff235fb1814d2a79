import { binary, compareBy, equals } from "./values/operators.ts";
import { type Bound, bind, type Signature, signature } from "./values/signature.ts";
import {
  type CallArguments,
  Dict,
  hashKey,
  isIterable,
  isNumber,
  isTrue,
  lengthOfValue,
  Markup,
  DictView,
  PyFunction,
  PyObject,
  type Runtime,
  Undefined,
  type Value,
} from "./values/index.ts";

export interface Test {
  readonly signature: Signature;
  readonly run: (args: Bound, runtime: Runtime) => Value;
}

const test = (parameters: string, run: (args: Bound, runtime: Runtime) => Value): Test => ({
  signature: signature(parameters),
  run,
});
const check = (is: (value: Value, runtime: Runtime) => boolean): Test =>
  test("value", ([value = null], runtime) => is(value, runtime));
const comparison = (operator: "==" | "!=" | "<" | "<=" | ">" | ">="): Test =>
  test("a b /", ([a = null, b = null], runtime) => compareBy(operator, a, b, runtime));
const remainder = (value: Value, by: Value, expected: Value, runtime: Runtime) =>
  equals(binary("%", value, by, runtime), expected, runtime);

function isSame(a: Value, b: Value): boolean {
  // Small ints and equal literals are one object in Python; greater ones need not be.
  return Object.is(a, b) || (typeof a === "bigint" && a === b);
}

function isSequence(value: Value): boolean {
  return !(value instanceof DictView) && lengthOfValue(value) !== undefined;
}

function isIn(names: ReadonlySet<string>, value: Value): boolean {
  hashKey(value);
  return typeof value === "string" && names.has(value);
}

const equal = comparison("==");
const unequal = comparison("!=");
const greater = comparison(">");
const greaterOrEqual = comparison(">=");
const less = comparison("<");
const lessOrEqual = comparison("<=");

/** Jinja2's tests. */
export const tests: Readonly<Record<string, Test>> = {
  odd: check((value, runtime) => remainder(value, 2n, 1n, runtime)),
  even: check((value, runtime) => remainder(value, 2n, 0n, runtime)),
  divisibleby: test("value num", ([value = null, num = null], runtime) => remainder(value, num, 0n, runtime)),
  defined: check((value) => !(value instanceof Undefined)),
  undefined: check((value) => value instanceof Undefined),
  filter: check((value, runtime) => isIn(runtime.filterNames, value)),
  test: check((value, runtime) => isIn(runtime.testNames, value)),
  none: check((value) => value === null),
  boolean: check((value) => typeof value === "boolean"),
  false: check((value) => value === false),
  true: check((value) => value === true),
  integer: check((value) => typeof value === "bigint"),
  float: check((value) => typeof value === "number"),
  lower: check((value, runtime) => {
    const text = runtime.str(value);
    return isTrue(runtime.call(runtime.attribute(text, "islower"), { positional: [], named: new Map() }));
  }),
  upper: check((value, runtime) => {
    const text = runtime.str(value);
    return isTrue(runtime.call(runtime.attribute(text, "isupper"), { positional: [], named: new Map() }));
  }),
  string: check((value) => typeof value === "string"),
  mapping: check((value) => value instanceof Dict),
  number: check((value) => isNumber(value)),
  sequence: check(isSequence),
  iterable: check((value) => isIterable(value)),
  callable: test("obj /", ([value = null]) => value instanceof PyFunction || isCallable(value)),
  sameas: test("value other", ([value = null, other = null]) => isSame(value, other)),
  escaped: check(() => false),
  in: test("value seq", ([value = null, container = null], runtime) => compareBy("in", value, container, runtime)),
  "==": equal,
  eq: equal,
  equalto: equal,
  "!=": unequal,
  ne: unequal,
  ">": greater,
  gt: greater,
  greaterthan: greater,
  ge: greaterOrEqual,
  ">=": greaterOrEqual,
  "<": less,
  lt: less,
  lessthan: less,
  "<=": lessOrEqual,
  le: lessOrEqual,
};

/** Undefined values, macros and loops define `__call__`. */
function isCallable(value: Value): boolean {
  return (
    value instanceof PyObject &&
    ["Undefined", "Macro", "LoopContext", "Joiner", "TemplateDict"].includes(value.typeName)
  );
}

/** Calls a test. @throws TemplateError. */
export function applyTest(name: string, found: Test, value: Value, args: CallArguments, runtime: Runtime): Value {
  if (name === "escaped") return value instanceof Markup;
  const all = { positional: [value, ...args.positional], named: args.named };
  return found.run(bind(name, found.signature, all), runtime);
}
