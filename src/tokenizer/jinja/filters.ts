import { isError, TemplateError, typeError, valueError } from "./errors.ts";
import { toJson } from "./json.ts";
import { formatMarkup } from "./markup.ts";
import { fixed, parseFloatText, parseInteger, roundFloat, roundInteger, showFloat } from "./numbers.ts";
import { binary, compare, equals, lengthOrError, sorted, toFloat } from "./operators.ts";
import { percentFormat } from "./percent-format.ts";
import { prettyPrint } from "./pretty-print.ts";
import { type Bound, bind, type Signature, signature } from "./signature.ts";
import { capitalize, lower } from "./letter-case.ts";
import { center, replaceText } from "./string-methods.ts";
import { characters, escapeHtml, lengthOf, SPACES, spaces, splitLines, strip } from "./text.ts";
import {
  type CallArguments,
  Dict,
  hashKey,
  integerOf,
  isIterable,
  isNumber,
  isTrue,
  iterate,
  listOf,
  Markup,
  plain,
  PyIterator,
  type PyObject,
  type Runtime,
  smallInteger,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from "./values.ts";
import { wrapText } from "./word-wrap.ts";

export interface Filter {
  readonly signature: Signature | undefined;
  /** `args` are bound to the signature's parameters, the filtered value first. */
  readonly run: (args: Bound, runtime: Runtime) => Value;
  /** Instead of `run`, for filters that take any arguments. */
  readonly runWith?: (value: Value, args: CallArguments, runtime: Runtime) => Value;
}

const filter = (parameters: string, run: (args: Bound, runtime: Runtime) => Value): Filter => ({
  signature: signature(parameters),
  run,
});
const free = (runWith: (value: Value, args: CallArguments, runtime: Runtime) => Value): Filter => ({
  signature: undefined,
  run: () => null,
  runWith,
});
const argumentError = (message: string) => new TemplateError("TemplateRuntimeError", message);

/** A filter of a string: `str(value)`, then `run`. */
const textFilter = (parameters: string, run: (text: string, args: Bound, runtime: Runtime) => Value): Filter =>
  filter(`s ${parameters}`, ([value = null, ...args], runtime) => {
    const text = runtime.str(value);
    runtime.budget.spend(text.length);
    return run(text, args, runtime);
  });

function flag(value: Value | undefined, byDefault = false): boolean {
  return value === undefined ? byDefault : isTrue(value);
}

function textArgument(value: Value | undefined, what: string): string {
  if (typeof value !== "string") throw typeError(`${what} must be str, not ${typeName(value ?? null)}`);
  return value;
}

/** A value that must be a string. */
function textValue(value: Value | undefined): string {
  if (value instanceof Undefined) throw value.error;
  if (typeof value !== "string")
    throw new TemplateError("AttributeError", `expected str, found ${typeName(value ?? null)}`);
  return value;
}

function ignoreCase(value: Value): Value {
  const text = plain(value);
  return typeof text === "string" ? lower(text) : text;
}

/** Jinja2's `make_attrgetter`: "a.b.0" and the like. */
function attributeGetter(
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
function generator(make: () => Generator<Value, undefined>): PyIterator {
  return new PyIterator(make());
}

function* values(value: Value, runtime: Runtime): Generator<Value, undefined> {
  const iterator = iterate(value);
  for (let step = iterator.next(); step.done !== true; step = iterator.next()) {
    runtime.budget.step();
    yield step.value;
  }
  return undefined;
}

const rest = ({ positional, named }: CallArguments, from: number): CallArguments => ({
  positional: positional.slice(from),
  named,
});

function select(name: string, byAttribute: boolean, isRejecting: boolean): Filter {
  return free((value, args, runtime) =>
    generator(function* () {
      if (!isTrue(value)) return undefined;
      const offset = byAttribute ? 1 : 0;
      if (byAttribute && args.positional.length === 0)
        throw argumentError(`${name}: Missing parameter for attribute name`);
      const get = byAttribute ? attributeGetter(args.positional[0], runtime) : (item: Value) => item;
      const test = args.positional[offset];
      for (const item of values(value, runtime)) {
        const looked = get(item);
        const result = test === undefined ? looked : runtime.test(test, looked, rest(args, offset + 1));
        if (isTrue(result) !== isRejecting) yield item;
      }
      return undefined;
    }),
  );
}

const map: Filter = free((value, args, runtime) =>
  generator(function* () {
    if (!isTrue(value)) return undefined;
    let apply: (item: Value) => Value;
    const attribute = args.named.get("attribute");
    if (args.positional.length === 0 && attribute !== undefined) {
      for (const name of args.named.keys()) {
        if (name !== "attribute" && name !== "default") throw argumentError(`Unexpected keyword argument '${name}'`);
      }
      apply = attributeGetter(attribute, runtime, args.named.get("default") ?? null);
    } else {
      const [name] = args.positional;
      if (name === undefined) throw argumentError("map requires a filter argument");
      apply = (item) => runtime.filter(name, item, rest(args, 1));
    }
    for (const item of values(value, runtime)) yield apply(item);
    return undefined;
  }),
);

function extreme(parameters: Bound, runtime: Runtime, sign: 1 | -1): Value {
  const [value = null, caseSensitive, attribute] = parameters;
  const get = attributeGetter(attribute, runtime);
  const keyOf = (item: Value) => (flag(caseSensitive) ? get(item) : ignoreCase(get(item)));
  let best: { readonly item: Value; readonly key: Value } | undefined;
  for (const item of values(value, runtime)) {
    const key = keyOf(item);
    if (best === undefined || sign * compare(key, best.key, sign > 0 ? ">" : "<", runtime) > 0) best = { item, key };
  }
  return best === undefined ? new Undefined("No aggregated item, sequence was empty.") : best.item;
}

function toInteger(value: Value, base: number): bigint {
  if (typeof value === "string") {
    const parsed = parseInteger(value, base);
    if (parsed === undefined) throw valueError(`invalid literal for int() with base ${base}: '${value}'`);
    return parsed;
  }
  if (value instanceof Undefined) throw value.error;
  if (typeof value === "number") {
    if (Number.isNaN(value)) throw valueError("cannot convert float NaN to integer");
    if (!Number.isFinite(value)) throw new TemplateError("OverflowError", "cannot convert float infinity to integer");
    return BigInt(Math.trunc(value));
  }
  const integer = integerOf(value);
  if (integer === undefined)
    throw typeError(`int() argument must be a string or a real number, not '${typeName(value)}'`);
  return integer;
}

function float(value: Value): number {
  if (value instanceof Undefined) throw value.error;
  if (typeof value === "string") {
    const parsed = parseFloatText(value);
    if (parsed === undefined) throw valueError(`could not convert string to float: '${value}'`);
    return parsed;
  }
  if (!isNumber(value)) throw typeError(`float() argument must be a string or a real number, not '${typeName(value)}'`);
  return typeof value === "number" ? value : toFloat(BigInt(value));
}

function int([value = null, byDefault = 0n, base]: Bound): Value {
  try {
    return toInteger(value, base === undefined ? 10 : smallInteger(base));
  } catch (error) {
    if (!isError(error, "TypeError", "ValueError")) throw error;
  }
  try {
    return toInteger(float(value), 10);
  } catch (error) {
    if (!isError(error, "TypeError", "ValueError", "OverflowError")) throw error;
    return byDefault;
  }
}

function round([value = null, precisionValue = 0n, method = "common"]: Bound, runtime: Runtime): Value {
  if (method !== "common" && method !== "ceil" && method !== "floor") {
    throw argumentError("method must be common, ceil or floor");
  }
  if (value instanceof Undefined) throw value.error;
  if (!isNumber(value)) throw typeError(`type ${typeName(value)} doesn't define __round__ method`);
  const precision = smallInteger(precisionValue);
  if (method === "common") {
    return typeof value === "number" ? roundFloat(value, precision) : roundInteger(BigInt(value), precision);
  }
  const scale = binary("**", 10n, precisionValue, runtime);
  const scaled = float(binary("*", value, scale, runtime));
  const whole = BigInt(method === "ceil" ? Math.ceil(scaled) : Math.floor(scaled));
  return binary("/", whole, scale, runtime);
}

/** `" " * n` */
function blanks(n: number, runtime: Runtime): string {
  runtime.budget.spend(Math.max(0, n));
  return " ".repeat(Math.max(0, n));
}

function indent([value, width = 4n, first, blank]: Bound, runtime: Runtime): string {
  const indention = typeof width === "string" ? width : blanks(smallInteger(width), runtime);
  const lines = splitLines(`${textValue(value)}\n`);
  runtime.budget.spend(textValue(value).length + lines.length * indention.length);
  const rest = lines.slice(1).map((line) => (line !== "" || flag(blank) ? indention + line : line));
  const result = [lines[0] ?? "", ...rest].join("\n");
  return flag(first) ? indention + result : result;
}

function truncate([value = null, lengthValue = 255n, killWords, end = "...", leewayValue = 5n]: Bound): Value {
  const [length, leeway] = [smallInteger(lengthValue), smallInteger(leewayValue ?? 5n)];
  const ending = textArgument(end, "end");
  if (length < lengthOf(ending))
    throw new TemplateError("RuntimeError", `expected length >= ${lengthOf(ending)}, got ${length}`);
  if (leeway < 0) throw new TemplateError("RuntimeError", `expected leeway >= 0, got ${leeway}`);
  if (lengthOrError(value) <= length + leeway) return value;
  const cut = characters(textValue(value))
    .slice(0, length - lengthOf(ending))
    .join("");
  if (flag(killWords)) return cut + ending;
  const space = cut.lastIndexOf(" ");
  return (space < 0 ? cut : cut.slice(0, space)) + ending;
}

function groupBy([value = null, attribute, byDefault, caseSensitive]: Bound, runtime: Runtime): Value {
  const exact = attributeGetter(attribute, runtime, byDefault ?? null);
  const keyOf = (item: Value) => (flag(caseSensitive) ? exact(item) : ignoreCase(exact(item)));
  const groups: { readonly key: Value; readonly items: Value[] }[] = [];
  for (const item of sorted(listOf(value, runtime), keyOf, false, runtime)) {
    const key = keyOf(item);
    const last = groups.at(-1);
    if (last !== undefined && equals(last.key, key, runtime)) last.items.push(item);
    else groups.push({ key, items: [item] });
  }
  return groups.map(({ key, items }) => {
    const shown = flag(caseSensitive) ? key : exact(items[0] ?? null);
    return new Tuple([shown, items], ["grouper", "list"]);
  });
}

function sortFilter([value = null, reverse, caseSensitive, attribute]: Bound, runtime: Runtime): Value {
  const attributes = typeof attribute === "string" ? attribute.split(",") : [attribute ?? null];
  const getters = attributes.map((part) => attributeGetter(part, runtime));
  const keyOf = (item: Value) => getters.map((get) => (flag(caseSensitive) ? get(item) : ignoreCase(get(item))));
  return sorted(listOf(value, runtime), keyOf, isReversed(reverse), runtime);
}

/** An argument that `sorted` takes for an int. */
function isReversed(reverse: Value | undefined): boolean {
  return reverse !== undefined && smallInteger(reverse) !== 0;
}

function dictSort([value, caseSensitive, by = "key", reverse]: Bound, runtime: Runtime): Value {
  if (by !== "key" && by !== "value") throw argumentError('You can only sort by either "key" or "value"');
  if (value instanceof Undefined) throw value.error;
  if (!(value instanceof Dict)) {
    throw new TemplateError("AttributeError", `'${typeName(value ?? null)}' object has no attribute 'items'`);
  }
  const items = [...value.entries].map((entry) => new Tuple(entry));
  const keyOf = (item: Value) => {
    const key = (item as Tuple).items[by === "key" ? 0 : 1] ?? null;
    return flag(caseSensitive) ? key : ignoreCase(key);
  };
  return sorted(items, keyOf, isReversed(reverse), runtime);
}

function unique([value = null, caseSensitive, attribute]: Bound, runtime: Runtime): Value {
  const get = attributeGetter(attribute, runtime);
  return generator(function* () {
    const seen = new Set<string | PyObject>();
    for (const item of values(value, runtime)) {
      const key = hashKey(flag(caseSensitive) ? get(item) : ignoreCase(get(item)));
      if (seen.has(key)) continue;
      seen.add(key);
      yield item;
    }
    return undefined;
  });
}

function sliceFilter([value = null, slices = null, fillWith = null]: Bound, runtime: Runtime): Value {
  return generator(function* () {
    const items = listOf(value, runtime);
    const n = smallInteger(slices);
    if (n === 0) throw new TemplateError("ZeroDivisionError", "integer division or modulo by zero");
    const size = Math.floor(items.length / n);
    const nLonger = items.length % n;
    for (let i = 0, at = 0; i < n; i++) {
      runtime.budget.step();
      const end = at + size + (i < nLonger ? 1 : 0);
      const part = items.slice(at, end);
      if (fillWith !== null && i >= nLonger) part.push(fillWith);
      yield part;
      at = end;
    }
    return undefined;
  });
}

function batch([value = null, count = null, fillWith = null]: Bound, runtime: Runtime): Value {
  return generator(function* () {
    let part: Value[] = [];
    for (const item of values(value, runtime)) {
      if (integerOf(count) !== undefined && part.length === smallInteger(count)) {
        yield part;
        part = [];
      }
      part.push(item);
    }
    if (part.length > 0) {
      const isFull = fillWith === null || compare(BigInt(part.length), count, "<", runtime) >= 0;
      const missing = isFull ? 0 : smallInteger(count) - part.length;
      runtime.budget.spend(missing);
      yield [...part, ...Array.from({ length: missing }, () => fillWith)];
    }
    return undefined;
  });
}

function reversed(value: Value, runtime: Runtime): Value {
  if (typeof value === "string") return [...characters(value)].reverse().join("");
  if (!isIterable(value)) throw argumentError("argument must be iterable");
  const items = listOf(value, runtime).reverse();
  const isSequence = Array.isArray(value) || !(value instanceof PyIterator);
  const type = Array.isArray(value) ? "list_reverseiterator" : "reversed";
  return isSequence ? new PyIterator(items[Symbol.iterator](), type) : items;
}

function last(value: Value, runtime: Runtime): Value {
  if (typeof value === "string") return characters(value).at(-1) ?? new Undefined("No last item, sequence was empty.");
  const isReversible = Array.isArray(value) || (!(value instanceof PyIterator) && isIterable(value));
  if (!isReversible) throw typeError(`'${typeName(value)}' object is not reversible`);
  const item = listOf(value, runtime).at(-1);
  return item === undefined ? new Undefined("No last item, sequence was empty.") : item;
}

function first(value: Value): Value {
  const step = iterate(value).next();
  return step.done === true ? new Undefined("No first item, sequence was empty.") : step.value;
}

const entities: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0" };

function stripTags(text: string): string {
  let plain = text;
  for (const [open, close] of [
    ["<!--", "-->"],
    ["<", ">"],
  ] as const) {
    let at = 0;
    let kept = "";
    for (;;) {
      const start = plain.indexOf(open, at);
      const end = start < 0 ? -1 : plain.indexOf(close, start);
      if (end < 0) break;
      kept += plain.slice(at, start);
      at = end + close.length;
    }
    plain = kept + plain.slice(at);
  }
  const joined = strip(plain, undefined).replace(spaces, " ");
  return joined.replace(/&(?:#(\d+)|#[xX]([\da-fA-F]+)|(\w+));/g, (all, decimal, hex, name) => {
    if (name !== undefined) return entities[name] ?? all;
    const code = Number.parseInt(decimal ?? hex, decimal === undefined ? 16 : 10);
    return code <= 0x10ffff ? String.fromCodePoint(code) : all;
  });
}

function urlQuote(value: Value, isQuery: boolean, runtime: Runtime): string {
  const quoted = encodeURIComponent(runtime.str(value).toWellFormed())
    .replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll("%2F", isQuery ? "%2F" : "/");
  return isQuery ? quoted.replaceAll("%20", "+") : quoted;
}

function urlEncode(value: Value, runtime: Runtime): string {
  if (typeof value === "string" || !isIterable(value)) return urlQuote(value, false, runtime);
  const items = value instanceof Dict ? [...value.entries].map((entry) => new Tuple(entry)) : listOf(value, runtime);
  return items
    .map((item) => {
      const [key, part, ...more] = listOf(item, runtime);
      if (key === undefined || part === undefined || more.length > 0) throw valueError("expected pairs to unpack");
      return `${urlQuote(key, true, runtime)}=${urlQuote(part, true, runtime)}`;
    })
    .join("&");
}

function fileSize(value: Value, isBinary: boolean): string {
  const bytes = float(value);
  const base = isBinary ? 1024 : 1000;
  const prefixes = isBinary
    ? ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"]
    : ["kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"];
  if (bytes === 1) return "1 Byte";
  if (bytes < base) return `${toInteger(bytes, 10)} Bytes`;
  const i = prefixes.findIndex((_, index) => bytes < base ** (index + 2));
  const at = i < 0 ? prefixes.length - 1 : i;
  const size = (base * bytes) / base ** (at + 2);
  return `${Number.isFinite(size) ? fixed(size, 1) : showFloat(size)} ${prefixes[at]}`;
}

function xmlAttributes(value: Value | undefined, hasSpace: boolean, runtime: Runtime): string {
  if (value instanceof Undefined) throw value.error;
  if (!(value instanceof Dict)) throw new TemplateError("AttributeError", "xmlattr needs a mapping");
  const items: string[] = [];
  for (const [key, part] of value.entries) {
    if (part === null || part instanceof Undefined) continue;
    const name = textArgument(key, "attribute name");
    if (/[ \t\n\r\f\v/>=]/.test(name)) throw valueError(`Invalid character in attribute name: ${runtime.repr(name)}`);
    items.push(`${escapeHtml(name)}="${escapeHtml(runtime.str(part))}"`);
  }
  return items.length > 0 && hasSpace ? ` ${items.join(" ")}` : items.join(" ");
}

const wordBreaks = new RegExp(`([-({[<${SPACES}]+)`);

function titleWords(text: string): string {
  return text
    .split(wordBreaks)
    .map((word) => {
      const [head = "", ...tail] = characters(word);
      return head.toUpperCase() + lower(tail.join(""));
    })
    .join("");
}

function join([value = null, separator = "", attribute]: Bound, runtime: Runtime): string {
  const get = attributeGetter(attribute, runtime);
  const glue = runtime.str(separator);
  const parts: string[] = [];
  for (const item of values(value, runtime)) {
    const part = runtime.str(get(item));
    runtime.budget.spend(part.length + glue.length);
    parts.push(part);
  }
  return parts.join(glue);
}

function sum([value = null, attribute, start = 0n]: Bound, runtime: Runtime): Value {
  if (typeof start === "string") throw typeError("sum() can't sum strings [use ''.join(seq) instead]");
  const get = attributeGetter(attribute, runtime);
  let total: Value = start;
  for (const item of values(value, runtime)) total = binary("+", total, get(item), runtime);
  return total;
}

function absolute(value: Value): Value {
  if (value instanceof Undefined) throw typeError("bad operand type for abs(): 'Undefined'");
  if (typeof value === "number") return Math.abs(value);
  const integer = integerOf(value);
  if (integer === undefined) throw typeError(`bad operand type for abs(): '${typeName(value)}'`);
  return integer < 0n ? -integer : integer;
}

function withDefault([value = null, byDefault = "", boolean]: Bound): Value {
  return value instanceof Undefined || (flag(boolean) && !isTrue(value)) ? byDefault : value;
}

const length = filter("obj /", ([value = null]) => BigInt(lengthOrError(value)));
const escapeFilter = filter("s /", ([value = null], runtime) => escapeHtml(runtime.str(value)));
const unsupported = (name: string): Filter =>
  free(() => {
    throw argumentError(`the filter ${name} is not supported`);
  });

/** Jinja2's filters, with transformers' `tojson`. */
export const filters: Readonly<Record<string, Filter>> = {
  abs: filter("x /", ([value = null]) => absolute(value)),
  attr: filter("obj name", ([value = null, name], runtime) => {
    const key = textArgument(name, "attribute name");
    return value instanceof Dict && !["items", "keys", "values", "get", "copy"].includes(key)
      ? new Undefined(`'dict object' has no attribute '${key}'`)
      : runtime.attribute(value, key);
  }),
  batch: filter("value linecount fill_with?", batch),
  capitalize: textFilter("", (text) => capitalize(text)),
  center: filter("value width?", ([value = null, width = 80n], runtime) => center(runtime.str(value), width, runtime)),
  count: length,
  d: filter("value default_value? boolean?", withDefault),
  default: filter("value default_value? boolean?", withDefault),
  dictsort: filter("value case_sensitive? by? reverse?", dictSort),
  e: escapeFilter,
  escape: escapeFilter,
  filesizeformat: filter("value binary?", ([value = null, isBinary]) => fileSize(value, flag(isBinary))),
  first: filter("seq", ([value = null]) => first(value)),
  float: filter("value default?", ([value = null, byDefault = 0]) => {
    try {
      return float(value);
    } catch (error) {
      if (!isError(error, "TypeError", "ValueError")) throw error;
      return byDefault;
    }
  }),
  forceescape: escapeFilter,
  format: free((value, { positional, named }, runtime) => {
    if (positional.length > 0 && named.size > 0) {
      throw argumentError("can't handle positional and keyword arguments at the same time");
    }
    const values = named.size > 0 ? new Dict(named) : new Tuple(positional);
    if (value instanceof Markup) return formatMarkup(value.text, values, runtime);
    return percentFormat(runtime.str(value), values, runtime);
  }),
  groupby: filter("value attribute default? case_sensitive?", groupBy),
  indent: filter("s width? first? blank?", indent),
  int: filter("value default? base?", int),
  items: filter("value", ([value = null]) =>
    generator(function* () {
      if (value instanceof Undefined) return undefined;
      if (!(value instanceof Dict)) throw typeError("Can only get item pairs from a mapping.");
      for (const entry of value.entries) yield new Tuple(entry);
      return undefined;
    }),
  ),
  join: filter("value d? attribute?", join),
  last: filter("seq", ([value = null], runtime) => last(value, runtime)),
  length,
  list: filter("value", ([value = null], runtime) => listOf(value, runtime)),
  lower: textFilter("", (text) => lower(text)),
  map,
  max: filter("value case_sensitive? attribute?", (args, runtime) => extreme(args, runtime, 1)),
  min: filter("value case_sensitive? attribute?", (args, runtime) => extreme(args, runtime, -1)),
  pprint: filter("value", ([value = null], runtime) => prettyPrint(value, runtime)),
  random: unsupported("random"),
  reject: select("reject", false, true),
  rejectattr: select("rejectattr", true, true),
  replace: textFilter("old new count?", (text, [old = null, replacement = null, count = null], runtime) =>
    replaceText(text, runtime.str(old), runtime.str(replacement), count === null ? -1 : smallInteger(count), runtime),
  ),
  reverse: filter("value", ([value = null], runtime) => reversed(value, runtime)),
  round: filter("value precision? method?", round),
  safe: textFilter("", (text) => text),
  select: select("select", false, false),
  selectattr: select("selectattr", true, false),
  slice: filter("value slices fill_with?", sliceFilter),
  sort: filter("value reverse? case_sensitive? attribute?", sortFilter),
  string: textFilter("", (text) => text),
  striptags: textFilter("", (text) => stripTags(text)),
  sum: filter("iterable attribute? start?", sum),
  title: textFilter("", (text) => titleWords(text)),
  tojson: filter(
    "x ensure_ascii? indent? separators? sort_keys?",
    ([value = null, ensureAscii = false, indention = null, separators = null, keys = false], runtime) =>
      toJson(value, { ensureAscii, indent: indention, separators, sortKeys: keys }, runtime),
  ),
  trim: textFilter("chars?", (text, [chars = null]) =>
    strip(text, chars === null ? undefined : textArgument(chars, "strip arg")),
  ),
  truncate: filter("s length? killwords? end? leeway?", truncate),
  unique: filter("value case_sensitive? attribute?", unique),
  upper: textFilter("", (text) => text.toUpperCase()),
  urlencode: filter("value", ([value = null], runtime) => urlEncode(value, runtime)),
  urlize: unsupported("urlize"),
  wordcount: textFilter("", (text) => BigInt(text.match(/[\p{L}\p{N}_]+/gu)?.length ?? 0)),
  wordwrap: filter(
    "s width? break_long_words? wrapstring? break_on_hyphens?",
    ([value, width = 79n, breaksWords, glue = null, onHyphens]) =>
      wrapText(textValue(value), smallInteger(width), flag(breaksWords, true), flag(onHyphens, true)).join(
        glue === null ? "\n" : textValue(glue),
      ),
  ),
  xmlattr: filter("d autospace?", ([value, autospace], runtime) =>
    xmlAttributes(value, flag(autospace, true), runtime),
  ),
};

/** Filters whose text is markup. */
const marking: ReadonlySet<string> = new Set(["e", "escape", "forceescape", "safe"]);
/** Filters that leave markup as it is: it is escaped already. */
const leaving: ReadonlySet<string> = new Set(["e", "escape", "safe", "string"]);
/** Filters whose text is markup if they were given markup. */
const keeping: ReadonlySet<string> = new Set([
  "upper",
  "lower",
  "capitalize",
  "trim",
  "indent",
  "center",
  "truncate",
  "reverse",
  "default",
  "d",
]);

/** Calls a filter. @throws TemplateError. */
export function applyFilter(name: string, found: Filter, value: Value, args: CallArguments, runtime: Runtime): Value {
  if (found.runWith !== undefined) return found.runWith(value, args, runtime);
  const isMarkup = value instanceof Markup;
  const all = { positional: [value, ...args.positional], named: args.named };
  const result = found.signature === undefined ? null : found.run(bind(name, found.signature, all), runtime);
  if (isMarkup && leaving.has(name)) return value;
  return typeof result === "string" && (marking.has(name) || (isMarkup && keeping.has(name)))
    ? new Markup(result)
    : result;
}
