import { TemplateError, typeError, valueError } from "../errors.ts";
import { general, showFloat } from "../values/numbers.ts";
import { floatDigits } from "./percent-format.ts";
import { characters, escapeNonAscii, lengthOf, quoted } from "../strings/text.ts";
import {
  type CallArguments,
  integerOf,
  plain,
  typeName,
  Undefined,
  type Value,
  type Runtime,
} from "../values/index.ts";

const specification = /^(?:([\s\S])?([<>=^]))?([-+ ])?(#)?(0)?(\d+)?([,_])?(?:\.(\d+))?([a-zA-Z%])?$/u;
const MAX_WIDTH = 1 << 20;

/** `str.format`, in Jinja2's sandbox. */
export function formatText(format: string, args: CallArguments, runtime: Runtime): string {
  return new Formatter(args, runtime).format(format, 2);
}

class Formatter {
  readonly #args: CallArguments;
  readonly #runtime: Runtime;
  /** The number of the next field `{}`; undefined once a field had a number of its own (`{0}`). */
  #nextIndex: number | undefined = 0;

  constructor(args: CallArguments, runtime: Runtime) {
    this.#args = args;
    this.#runtime = runtime;
  }

  format(format: string, depth: number): string {
    if (depth < 0) throw valueError("Max string recursion exceeded");
    this.#runtime.budget.spend(format.length);
    let result = "";
    for (let at = 0; at < format.length; ) {
      const character = format[at] as string;
      if (character !== "{" && character !== "}") {
        result += character;
        at++;
      } else if (format[at + 1] === character) {
        result += character;
        at += 2;
      } else if (character === "}") {
        throw valueError("Single '}' encountered in format string");
      } else {
        const end = closingBrace(format, at);
        result += this.#field(format.slice(at + 1, end), depth);
        at = end + 1;
      }
    }
    return result;
  }

  #field(field: string, depth: number): string {
    const match = /^([^!:]*)(?:!([^:]))?(?::([\s\S]*))?$/.exec(field);
    if (match === null) throw valueError("expected ':' after conversion specifier");
    const [, name = "", conversion, spec = ""] = match;
    let value = this.#lookUp(name);
    if (conversion === "r") value = this.#runtime.repr(value);
    else if (conversion === "a") value = escapeNonAscii(this.#runtime.repr(value));
    else if (conversion === "s") value = this.#runtime.str(value);
    else if (conversion !== undefined) throw valueError(`Unknown conversion specifier ${conversion}`);
    return formatValue(value, this.format(spec, depth - 1), this.#runtime);
  }

  #number(): string {
    if (this.#nextIndex === undefined) throw switching();
    return String(this.#nextIndex++);
  }

  #stopNumbering(): void {
    if (this.#nextIndex !== undefined && this.#nextIndex > 0) throw switching();
    this.#nextIndex = undefined;
  }

  #lookUp(name: string): Value {
    const first = name === "" ? this.#number() : (/^[^.[]*/.exec(name)?.[0] ?? "");
    if (/^\d+$/.test(name)) this.#stopNumbering();
    let value: Value | undefined;
    if (/^\d+$/.test(first)) {
      const index = Number(first);
      value = this.#args.positional[index];
      if (value === undefined) {
        throw new TemplateError("IndexError", `Replacement index ${index} out of range for positional args tuple`);
      }
    } else {
      value = this.#args.named.get(first);
      if (value === undefined) throw new TemplateError("KeyError", quoted(first));
    }
    for (const [, attribute, item] of name.slice(first.length).matchAll(/\.([^.[]+)|\[([^\]]+)\]/g)) {
      if (attribute !== undefined) value = this.#runtime.attribute(value, attribute);
      else value = this.#runtime.item(value, /^\d+$/.test(item ?? "") ? BigInt(item ?? 0) : (item ?? ""));
    }
    return value;
  }
}

function switching(): TemplateError {
  return valueError("cannot switch between manual field specification and automatic field numbering");
}

function closingBrace(format: string, start: number): number {
  let depth = 0;
  for (let i = start; i < format.length; i++) {
    if (format[i] === "{") depth++;
    else if (format[i] === "}" && --depth === 0) return i;
  }
  throw valueError("expected '}' before end of string");
}

/** `format(value, spec)` */
export function formatValue(given: Value, spec: string, runtime: Runtime): string {
  const value = plain(given);
  if (spec === "") return runtime.str(value);
  const isText = typeof value === "string";
  const integer = integerOf(value);
  if (!isText && integer === undefined && typeof value !== "number") {
    if (value instanceof Undefined) throw typeError("unsupported format string passed to Undefined.__format__");
    throw typeError(`unsupported format string passed to ${typeName(value)}.__format__`);
  }
  const match = specification.exec(spec);
  if (match === null) throw valueError("Invalid format specifier");
  const [, fill, align, sign, alternative, zero, widthText = "0", grouping, precisionText, type] = match;
  const width = Number(widthText);
  const precision = precisionText === undefined ? undefined : Number(precisionText);
  if (width > MAX_WIDTH || (precision ?? 0) > MAX_WIDTH) throw valueError("Too many decimal digits in format string");
  const wrong = () => valueError(`Unknown format code '${type}' for object of type '${typeName(value)}'`);
  const pad = (prefix: string, body: string, byDefault: string): string => {
    const padding = Math.max(0, width - lengthOf(prefix + body));
    runtime.budget.spend(padding);
    const filler = fill ?? (zero === undefined ? " " : "0");
    const side = align ?? (zero === undefined ? byDefault : isText ? "<" : "=");
    if (side === "<") return prefix + body + filler.repeat(padding);
    if (side === "=") return prefix + filler.repeat(padding) + body;
    if (side === ">") return filler.repeat(padding) + prefix + body;
    const left = Math.floor(padding / 2);
    return filler.repeat(left) + prefix + body + filler.repeat(padding - left);
  };
  /** With separators, also between zeros that fill the width. */
  const grouped = (whole: string, rest: string, start: string, size: number): string => {
    const fillsZeros = grouping !== undefined && whole !== "" && zero !== undefined && (align ?? "=") === "=" && !fill;
    if (!fillsZeros) return group(whole, grouping, size) + rest;
    const least = Math.max(0, width - start.length - rest.length);
    runtime.budget.spend(least);
    const nDigits = least - Math.floor(least / (size + 1));
    // A separator does not come first: a digit more instead.
    const isShort = nDigits + Math.floor((nDigits - 1) / size) < least;
    return group(whole.padStart(isShort ? nDigits + 1 : nDigits, "0"), grouping, size) + rest;
  };
  if (isText) {
    if (type !== undefined && type !== "s") throw wrong();
    if (grouping !== undefined) throw valueError(`Cannot specify '${grouping}' with 's'.`);
    if (sign !== undefined) throw valueError("Sign not allowed in string format specifier");
    if (alternative !== undefined) throw valueError("Alternate form (#) not allowed in string format specifier");
    if (align === "=") throw valueError("'=' alignment not allowed in string format specifier");
    return pad("", precision === undefined ? value : characters(value).slice(0, precision).join(""), "<");
  }
  const signOf = (isNegative: boolean) => (isNegative ? "-" : sign === "-" ? "" : (sign ?? ""));
  if (integer !== undefined && (type === undefined || "bcdoxXn".includes(type))) {
    if (precision !== undefined) throw valueError("Precision not allowed in integer format specifier");
    const hasGroups = grouping === "," ? "bcoxXn" : grouping === "_" ? "cn" : "";
    if (type !== undefined && hasGroups.includes(type))
      throw valueError(`Cannot specify '${grouping}' with '${type}'.`);
    if (type === "c" && (sign ?? alternative) !== undefined) {
      throw valueError("Sign and alternate form (#) not allowed with integer format specifier 'c'");
    }
    if (type === "c") return pad("", String.fromCodePoint(Number(integer)), "<");
    const radixes: Readonly<Record<string, number>> = { b: 2, o: 8, x: 16, X: 16 };
    const radix = radixes[type ?? "d"] ?? 10;
    const digits = (integer < 0n ? -integer : integer).toString(radix);
    const prefix = alternative !== undefined && radix !== 10 ? `0${type}` : "";
    const shown = type === "X" ? digits.toUpperCase() : digits;
    const start = signOf(integer < 0n) + prefix;
    return pad(start, grouped(shown, "", start, radix === 10 ? 3 : 4), ">");
  }
  const padFloat = (start: string, body: string): string => {
    const [, whole = "", rest = ""] = /^(\d*)([\s\S]*)$/.exec(body) ?? [];
    return pad(start, grouped(whole, rest, start, 3), ">");
  };
  const float = integer === undefined ? (value as number) : Number(integer);
  const isNegative = float < 0 || Object.is(float, -0);
  if (type === undefined) {
    return padFloat(signOf(isNegative), plainFloat(float, precision, alternative !== undefined));
  }
  if (!"eEfFgGn%".includes(type)) throw wrong();
  if (type === "n" && grouping !== undefined) throw valueError(`Cannot specify '${grouping}' with 'n'.`);
  const kind = type === "%" ? "f" : type === "n" ? "g" : type.toLowerCase();
  const digits = floatDigits(type === "%" ? float * 100 : float, kind, precision ?? 6, alternative !== undefined);
  const body = /[EFG]/.test(type) ? digits.toUpperCase() : digits;
  return padFloat(signOf(isNegative), type === "%" ? `${body}%` : body);
}

function group(digits: string, separator: string | undefined, size: number): string {
  if (separator === undefined) return digits;
  return digits.replace(new RegExp(`\\B(?=(?:[0-9a-zA-Z]{${size}})+$)`, "g"), separator);
}

/** Without a type: as `repr` does, or with a precision. */
function plainFloat(value: number, precision: number | undefined, keepsPoint: boolean): string {
  const size = Math.abs(value);
  if (precision !== undefined && Number.isFinite(value)) return general(size, precision, keepsPoint, true);
  const shown = showFloat(size);
  return keepsPoint && !shown.includes(".") ? shown.replace("e", ".e") : shown;
}
