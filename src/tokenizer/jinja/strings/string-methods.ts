import { encode } from "../values/bytes.ts";
import { decimal, digit, numeric } from "./digits.ts";
import { capitalize, caseFold, isLower, isTitle, isUpper, lower, swapCase, title } from "./letter-case.ts";
import { TemplateError, typeError, valueError } from "../errors.ts";
import { type Bound, bind, signature } from "../values/signature.ts";
import { formatText } from "../format/string-format.ts";
import { characters, isPrintable, isSimple, lengthOf, SPACE_CLASS, spaces, splitLines, strip } from "./text.ts";
import {
  type CallArguments,
  Dict,
  integerOf,
  iterate,
  plain,
  PyFunction,
  smallInteger,
  Tuple,
  typeName,
  Undefined,
  type Value,
  type Runtime,
} from "../values/index.ts";

type Method = (text: string, args: Bound, runtime: Runtime) => Value;

interface StringMethod {
  readonly parameters: string;
  readonly run: Method;
}

function textOf(value: Value | undefined, method: string): string {
  if (value instanceof Undefined) throw typeError(`${method} arg must be str, not Undefined`);
  if (typeof value !== "string") throw typeError(`${method} arg must be str, not ${typeName(value ?? null)}`);
  return value;
}

/** An optional text; None counts as absent. */
function optionalText(value: Value | undefined, method: string): string | undefined {
  return value === undefined || value === null ? undefined : textOf(value, method);
}

function optionalInteger(value: Value | undefined, byDefault: number): number {
  return value === undefined ? byDefault : smallInteger(value);
}

/** An index as slices take it: from the end if negative, within the text. */
function clamp(value: Value | undefined, byDefault: number, length: number): number {
  if (value === undefined || value === null) return byDefault;
  const index = smallInteger(value);
  return index < 0 ? Math.max(0, index + length) : Math.min(index, length);
}

/** Finds a text within a part of another, in code points. */
function findIn(text: string, args: Bound, method: string, isLast: boolean): number {
  const wanted = textOf(args[0], method);
  const all = characters(text);
  const start = clamp(args[1], 0, all.length);
  const end = clamp(args[2], all.length, all.length);
  if (start > end || (args[1] !== undefined && args[1] !== null && smallInteger(args[1]) > all.length)) return -1;
  const part = all.slice(start, end).join("");
  const at = isLast ? part.lastIndexOf(wanted) : part.indexOf(wanted);
  return at < 0 ? -1 : start + lengthOf(part.slice(0, at));
}

function indexIn(text: string, args: Bound, method: string, isLast: boolean): Value {
  const at = findIn(text, args, method, isLast);
  if (at < 0) throw valueError("substring not found");
  return BigInt(at);
}

/** `startswith` and `endswith`, of a text or of one of several. */
function matchesEnd(text: string, args: Bound, method: "startswith" | "endswith"): boolean {
  const [wanted, ...range] = args;
  const all = characters(text);
  const start = clamp(range[0], 0, all.length);
  const end = clamp(range[1], all.length, all.length);
  const isBeyond = range[0] !== undefined && range[0] !== null && smallInteger(range[0]) > all.length;
  const part = all.slice(start, end).join("");
  const options = wanted instanceof Tuple ? wanted.items : [wanted];
  return options.some((option) => {
    if (typeof option !== "string") {
      throw typeError(`${method} first arg must be str or a tuple of str, not ${typeName(option ?? null)}`);
    }
    if (isBeyond || start > end) return false;
    return method === "startswith" ? part.startsWith(option) : part.endsWith(option);
  });
}

function countIn(text: string, args: Bound): bigint {
  const wanted = textOf(args[0], "count()");
  const all = characters(text);
  const start = clamp(args[1], 0, all.length);
  const end = clamp(args[2], all.length, all.length);
  const part = all.slice(start, end).join("");
  const isBeyond = args[1] !== undefined && args[1] !== null && smallInteger(args[1]) > all.length;
  if (wanted === "") return start > end || isBeyond ? 0n : BigInt(lengthOf(part) + 1);
  return BigInt(part.split(wanted).length - 1);
}

function split(text: string, args: Bound, runtime: Runtime): string[] {
  const separator = optionalText(args[0], "split()");
  const maxSplits = optionalInteger(args[1], -1);
  if (separator === "") throw valueError("empty separator");
  runtime.budget.spend(text.length);
  if (separator === undefined) {
    const parts: string[] = [];
    let rest = strip(text, undefined, "left");
    const limit = maxSplits < 0 ? Number.POSITIVE_INFINITY : maxSplits;
    const pattern = new RegExp(spaces.source, "g");
    for (let at = 0; at <= rest.length && rest !== ""; ) {
      pattern.lastIndex = at;
      const match = parts.length < limit ? pattern.exec(rest) : null;
      if (match === null) {
        if (at < rest.length) parts.push(rest.slice(at));
        break;
      }
      parts.push(rest.slice(at, match.index));
      at = match.index + match[0].length;
      if (at >= rest.length) rest = "";
    }
    return parts;
  }
  const parts = text.split(separator);
  if (maxSplits < 0 || parts.length <= maxSplits + 1) return parts;
  return [...parts.slice(0, maxSplits), parts.slice(maxSplits).join(separator)];
}

function splitFromEnd(text: string, args: Bound, runtime: Runtime): string[] {
  const separator = optionalText(args[0], "rsplit()");
  const maxSplits = optionalInteger(args[1], -1);
  if (maxSplits < 0) return split(text, args, runtime);
  if (separator === "") throw valueError("empty separator");
  runtime.budget.spend(text.length);
  if (separator === undefined) {
    const parts: string[] = [];
    let rest = strip(text, undefined, "right");
    const last = new RegExp(`${SPACE_CLASS}`);
    while (rest !== "" && parts.length < maxSplits) {
      let start = rest.length;
      while (start > 0 && !last.test(rest[start - 1] as string)) start--;
      parts.unshift(rest.slice(start));
      rest = strip(rest.slice(0, start), undefined, "right");
    }
    return rest === "" ? parts : [rest, ...parts];
  }
  const parts = text.split(separator);
  if (parts.length <= maxSplits + 1) return parts;
  const head = parts.length - maxSplits;
  return [parts.slice(0, head).join(separator), ...parts.slice(head)];
}

function replace(text: string, args: Bound, runtime: Runtime): string {
  const old = textOf(args[0], "replace() argument 1");
  const replacement = textOf(args[1], "replace() argument 2");
  return replaceText(text, old, replacement, optionalInteger(args[2], -1), runtime);
}

/** `str.replace`; a negative count replaces all. */
export function replaceText(text: string, old: string, replacement: string, count: number, runtime: Runtime): string {
  const parts = old === "" ? ["", ...characters(text), ""] : text.split(old);
  const n = count < 0 ? parts.length - 1 : Math.min(count, parts.length - 1);
  runtime.budget.spend(text.length + n * replacement.length);
  const replaced = parts.slice(0, n + 1).join(replacement);
  return n + 1 >= parts.length ? replaced : replaced + old + parts.slice(n + 1).join(old);
}

/** Pads to a width with one character. */
function pad(text: string, args: Bound, side: "left" | "right" | "both", runtime: Runtime): string {
  const width = smallInteger(args[0] ?? null);
  const filler = args[1] === undefined ? " " : textOf(args[1], "fill character");
  if (lengthOf(filler) !== 1) throw typeError("The fill character must be exactly one character long");
  const length = lengthOf(text);
  const padding = Math.max(0, width - length);
  runtime.budget.spend(padding);
  if (side === "left") return filler.repeat(padding) + text;
  if (side === "right") return text + filler.repeat(padding);
  const left = Math.floor(padding / 2) + (padding & width & 1);
  return filler.repeat(left) + text + filler.repeat(padding - left);
}

/** `str.center` */
export function center(text: string, width: Value, runtime: Runtime): string {
  return pad(text, [width], "both", runtime);
}

function zfill(text: string, args: Bound, runtime: Runtime): string {
  const sign = /^[+-]/.exec(text)?.[0] ?? "";
  const width = BigInt(smallInteger(args[0] ?? null) - sign.length);
  return sign + pad(text.slice(sign.length), [width, "0"], "left", runtime);
}

function partition(text: string, args: Bound, isLast: boolean): Tuple {
  const separator = textOf(args[0], "partition()");
  if (separator === "") throw valueError("empty separator");
  const at = isLast ? text.lastIndexOf(separator) : text.indexOf(separator);
  if (at < 0) return new Tuple(isLast ? ["", "", text] : [text, "", ""]);
  return new Tuple([text.slice(0, at), separator, text.slice(at + separator.length)]);
}

function expandTabs(text: string, args: Bound, runtime: Runtime): string {
  const size = optionalInteger(args[0], 8);
  let column = 0;
  let result = "";
  for (const character of text) {
    if (character === "\t") {
      const n = size > 0 ? size - (column % size) : 0;
      runtime.budget.spend(n);
      result += " ".repeat(n);
      column += n;
    } else {
      result += character;
      column = character === "\n" || character === "\r" ? 0 : column + 1;
    }
  }
  return result;
}

/** `separator.join(values)` */
function join(separator: string, args: Bound, runtime: Runtime): string {
  const iterator = iterate(args[0] ?? null);
  const texts: string[] = [];
  for (let step = iterator.next(); step.done !== true; step = iterator.next()) {
    const item = plain(step.value);
    if (typeof item !== "string") {
      throw typeError(`sequence item ${texts.length}: expected str instance, ${typeName(item)} found`);
    }
    runtime.budget.spend(item.length + separator.length);
    texts.push(item);
  }
  return texts.join(separator);
}

function translate(text: string, args: Bound): string {
  const table = args[0];
  const items = table instanceof Tuple ? table.items : typeof table === "string" ? Array.from(table) : table;
  if (!(table instanceof Dict) && !Array.isArray(items)) throw typeError("'table' must be a mapping");
  return Array.from(text, (character) => {
    const code = character.codePointAt(0) ?? 0;
    const found = table instanceof Dict ? table.get(BigInt(code)) : (items as readonly Value[])[code];
    if (found === undefined) return character;
    if (found === null) return "";
    const replacement = integerOf(found);
    return replacement === undefined ? textOf(found, "translate()") : characterOf(replacement);
  }).join("");
}

/** `chr(code)` */
function characterOf(code: bigint): string {
  if (code < 0n || code > 0x10ffffn) throw valueError("chr() arg not in range(0x110000)");
  return String.fromCodePoint(Number(code));
}

function makeTranslation(_: string, args: Bound): Value {
  const [from, to, removed] = args;
  const code = (character: string) => BigInt(character.codePointAt(0) ?? 0);
  if (to === undefined) {
    if (!(from instanceof Dict)) {
      throw typeError("if you give only one argument to maketrans it must be a dict");
    }
    return new Dict([...from.entries].map(([key, value]) => [typeof key === "string" ? code(key) : key, value]));
  }
  const keys = Array.from(textOf(from, "maketrans()"));
  const values = Array.from(textOf(to, "maketrans()"));
  if (keys.length !== values.length) {
    throw valueError("the first two maketrans arguments must have equal length");
  }
  const table = new Dict(keys.map((key, i): [Value, Value] => [code(key), code(values[i] ?? "")]));
  for (const character of optionalText(removed, "maketrans()") ?? "") table.set(code(character), null);
  return table;
}

const every = (pattern: RegExp) => (text: string) => text !== "" && Array.from(text).every((c) => pattern.test(c));
const method = (parameters: string, run: Method): StringMethod => ({ parameters, run });
const check = (test: (text: string) => boolean) => method("", (text) => test(text));

/** Methods of str, with Python's parameters. */
const methods: Readonly<Record<string, StringMethod>> = {
  capitalize: method("", (text) => capitalize(text)),
  casefold: method("", (text) => caseFold(text)),
  center: method("width fillchar? /", (text, args, runtime) => pad(text, args, "both", runtime)),
  count: method("sub start? end? /", (text, args) => countIn(text, args)),
  encode: method("encoding? errors?", encode),
  endswith: method("suffix start? end? /", (text, args) => matchesEnd(text, args, "endswith")),
  expandtabs: method("tabsize?", expandTabs),
  find: method("sub start? end? /", (text, args) => BigInt(findIn(text, args, "find()", false))),
  index: method("sub start? end? /", (text, args) => indexIn(text, args, "index()", false)),
  isalnum: check(every(/[\p{L}\p{N}]/u)),
  isalpha: check(every(/\p{L}/u)),
  // biome-ignore lint/suspicious/noControlCharactersInRegex: ASCII begins with control characters
  isascii: check((text) => /^[\x00-\x7f]*$/.test(text)),
  isdecimal: check(every(decimal)),
  isdigit: check(every(digit)),
  isidentifier: check((text) => /^[\p{XID_Start}_]\p{XID_Continue}*$/u.test(text)),
  islower: check(isLower),
  isnumeric: check(every(numeric)),
  isprintable: check((text) => Array.from(text).every(isPrintable)),
  isspace: check(every(new RegExp(`^${SPACE_CLASS}$`))),
  istitle: check(isTitle),
  isupper: check(isUpper),
  join: method("iterable /", join),
  ljust: method("width fillchar? /", (text, args, runtime) => pad(text, args, "right", runtime)),
  lower: method("", (text) => lower(text)),
  lstrip: method("chars? /", (text, args) => strip(text, optionalText(args[0], "lstrip"), "left")),
  maketrans: method("x y? z? /", makeTranslation),
  partition: method("sep /", (text, args) => partition(text, args, false)),
  removeprefix: method("prefix /", (text, args) => {
    const prefix = textOf(args[0], "removeprefix()");
    return text.startsWith(prefix) ? text.slice(prefix.length) : text;
  }),
  removesuffix: method("suffix /", (text, args) => {
    const suffix = textOf(args[0], "removesuffix()");
    return suffix !== "" && text.endsWith(suffix) ? text.slice(0, -suffix.length) : text;
  }),
  replace: method("old new count? /", replace),
  rfind: method("sub start? end? /", (text, args) => BigInt(findIn(text, args, "rfind()", true))),
  rindex: method("sub start? end? /", (text, args) => indexIn(text, args, "rindex()", true)),
  rjust: method("width fillchar? /", (text, args, runtime) => pad(text, args, "left", runtime)),
  rpartition: method("sep /", (text, args) => partition(text, args, true)),
  rsplit: method("sep? maxsplit?", splitFromEnd),
  rstrip: method("chars? /", (text, args) => strip(text, optionalText(args[0], "rstrip"), "right")),
  split: method("sep? maxsplit?", split),
  splitlines: method("keepends?", (text, args) => splitLines(text, optionalInteger(args[0], 0) !== 0)),
  startswith: method("prefix start? end? /", (text, args) => matchesEnd(text, args, "startswith")),
  strip: method("chars? /", (text, args) => strip(text, optionalText(args[0], "strip"))),
  swapcase: method("", (text) => swapCase(text)),
  title: method("", (text) => title(text)),
  translate: method("table /", translate),
  upper: method("", (text) => text.toUpperCase()),
  zfill: method("width /", zfill),
};

const signatures = new Map(Object.entries(methods).map(([name, { parameters }]) => [name, signature(parameters)]));

/** A method of str, bound to a text. */
export function stringMethod(text: string, name: string): PyFunction | undefined {
  if (name === "format") return new PyFunction(name, (args, runtime) => formatText(text, args, runtime));
  if (name === "format_map") return new PyFunction(name, (args, runtime) => formatMap(text, args, runtime));
  const found = Object.hasOwn(methods, name) ? methods[name] : undefined;
  const parameters = signatures.get(name);
  if (found === undefined || parameters === undefined) return undefined;
  return new PyFunction(name, (args, runtime) => {
    runtime.budget.spend(isSimple(text) ? text.length : 2 * text.length);
    const result = found.run(text, bind(name, parameters, args), runtime);
    return result;
  });
}

function formatMap(text: string, args: CallArguments, runtime: Runtime): string {
  const [map] = args.positional;
  if (args.named.size > 0) throw typeError("format_map() takes no keyword arguments");
  if (args.positional.length !== 1) throw typeError("format_map() takes exactly one argument");
  const named = new Map<string, Value>();
  for (const [key, value] of map instanceof Dict ? map.entries : []) if (typeof key === "string") named.set(key, value);
  return formatText(text, { positional: [], named }, runtime);
}

/** Methods of list and tuple. */
export function sequenceMethod(items: readonly Value[], name: string): PyFunction | undefined {
  if (name === "count") {
    const parameters = signature("value /");
    return new PyFunction(name, (args, runtime) => {
      const [wanted = null] = bind(name, parameters, args);
      return BigInt(items.filter((item) => runtime.equals(item, wanted)).length);
    });
  }
  if (name !== "index") return undefined;
  const parameters = signature("value start? stop? /");
  return new PyFunction(name, (args, runtime) => {
    const [wanted = null, start, stop] = bind(name, parameters, args);
    const from = clamp(start, 0, items.length);
    const to = clamp(stop, items.length, items.length);
    const at = items.findIndex((item, i) => i >= from && i < to && runtime.equals(item, wanted));
    if (at < 0) throw new TemplateError("ValueError", `${runtime.repr(wanted)} is not in list`);
    return BigInt(at);
  });
}
