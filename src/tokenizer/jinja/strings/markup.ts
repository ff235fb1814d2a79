import { typeError } from "../errors.ts";
import { percentFormat } from "../format/percent-format.ts";
import { escapeHtml } from "./text.ts";
import {
  type CallArguments,
  Dict,
  integerOf,
  isNumber,
  listOf,
  Markup,
  plain,
  PyFunction,
  type Runtime,
  Tuple,
  typeName,
  type Value,
} from "../values/index.ts";

/** Text that is joined with markup: escaped, unless it is markup, too. */
function escaped(value: Value, runtime: Runtime): string {
  return value instanceof Markup ? value.text : escapeHtml(runtime.str(value));
}

function marked(value: Value): Value {
  if (typeof value === "string") return new Markup(value);
  if (Array.isArray(value)) return value.map(marked);
  return value instanceof Tuple ? new Tuple(value.items.map(marked)) : value;
}

/** Values of a format: numbers stay numbers. */
function escapedValues(value: Value, runtime: Runtime): Value {
  if (value instanceof Tuple) return new Tuple(value.items.map((item) => escapedValues(item, runtime)));
  if (value instanceof Dict)
    return new Dict([...value.entries].map(([key, item]) => [key, escapedValues(item, runtime)]));
  return isNumber(value) ? value : escaped(value, runtime);
}

/** `markup % value` */
export function formatMarkup(format: string, value: Value, runtime: Runtime): Markup {
  return new Markup(percentFormat(format, escapedValues(value, runtime), runtime));
}

/** `a + b`, `a * b` and `a % b` where one is markup; undefined for other operators. @throws TemplateError "TypeError". */
export function markupBinary(operator: string, a: Value, b: Value, runtime: Runtime): Value | undefined {
  if (operator === "%" && a instanceof Markup) return formatMarkup(a.text, b, runtime);
  if (operator === "%" && typeof a === "string") return percentFormat(a, plain(b), runtime);
  if (operator === "*") {
    const [text, times] = a instanceof Markup ? [a.text, integerOf(b)] : [(b as Markup).text, integerOf(a)];
    if (times === undefined) return undefined;
    const n = text === "" || times < 0n ? 0 : Number(times);
    runtime.budget.spend(text.length * n);
    return new Markup(text.repeat(n));
  }
  if (operator !== "+") return undefined;
  for (const value of [a, b]) {
    if (typeof plain(value) === "string") continue;
    throw typeError(`unsupported operand type(s) for +: '${typeName(a)}' and '${typeName(b)}'`);
  }
  const [left, right] = [escaped(a, runtime), escaped(b, runtime)];
  runtime.budget.spend(left.length + right.length);
  return new Markup(left + right);
}

/** A method of str of markup: what it puts into the text is escaped, and its texts are markup again. */
export function markupMethod(method: PyFunction): PyFunction {
  const { name } = method;
  return new PyFunction(name, (args, runtime) => marked(method.call(escapedArguments(name, args, runtime), runtime)));
}

function escapedArguments(name: string, args: CallArguments, runtime: Runtime): CallArguments {
  const { positional, named } = args;
  const [first, second, ...rest] = positional;
  if (name === "join" && first !== undefined) {
    return { named, positional: [listOf(first, runtime).map((item) => escaped(item, runtime))] };
  }
  if (name === "replace" && first !== undefined && second !== undefined) {
    return { named, positional: [first, escaped(second, runtime), ...rest] };
  }
  if (name !== "format") return args;
  const values = [...named].map(([key, value]) => [key, escapedValues(value, runtime)] as const);
  return { positional: positional.map((value) => escapedValues(value, runtime)), named: new Map(values) };
}
