import { TemplateError, typeError, valueError } from "./errors.ts";
import { showFloat } from "./numbers.ts";
import { floatDigits } from "./percent-format.ts";
import { characters, lengthOf, quoted } from "./text.ts";
import { type CallArguments, integerOf, typeName, Undefined, type Value, type Runtime } from "./values.ts";

const specification = /^(?:([\s\S])?([<>=^]))?([-+ ])?(#)?(0)?(\d+)?([,_])?(?:\.(\d+))?([a-zA-Z%])?$/u;
const MAX_WIDTH = 1 << 20;

/** `str.format`, in Jinja2's sandbox. */
export function formatText(format: string, args: CallArguments, runtime: Runtime): string {
  return new Formatter(args, runtime).format(format, 2);
}

class Formatter {
  readonly #args: CallArguments;
  readonly #runtime: Runtime;
  #nextIndex = 0;

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
    if (conversion === "r" || conversion === "a") value = this.#runtime.repr(value);
    else if (conversion === "s") value = this.#runtime.str(value);
    else if (conversion !== undefined) throw valueError(`Unknown conversion specifier ${conversion}`);
    return formatValue(value, this.format(spec, depth - 1), this.#runtime);
  }

  #lookUp(name: string): Value {
    const first = /^[^.[]*/.exec(name)?.[0] ?? "";
    let value: Value | undefined;
    if (first === "" || /^\d+$/.test(first)) {
      const index = first === "" ? this.#nextIndex++ : Number(first);
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

function closingBrace(format: string, start: number): number {
  let depth = 0;
  for (let i = start; i < format.length; i++) {
    if (format[i] === "{") depth++;
    else if (format[i] === "}" && --depth === 0) return i;
  }
  throw valueError("expected '}' before end of string");
}

/** `format(value, spec)` */
export function formatValue(value: Value, spec: string, runtime: Runtime): string {
  if (spec === "") return runtime.str(value);
  const isText = typeof value === "string";
  const integer = integerOf(value);
  if (!isText && integer === undefined && typeof value !== "number") {
    if (value instanceof Undefined) throw typeError("unsupported format string passed to Undefined.__format__");
    throw typeError(`unsupported format string passed to ${typeName(value)}.__format__`);
  }
  const match = specification.exec(spec);
  if (match === null) throw valueError("Invalid format specifier");
  const [, fill, align, sign = "-", alternative, zero, widthText = "0", grouping, precisionText, type] = match;
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
  if (isText) {
    if (type !== undefined && type !== "s") throw wrong();
    if (align === "=") throw valueError("'=' alignment not allowed in string format specifier");
    return pad("", precision === undefined ? value : characters(value).slice(0, precision).join(""), "<");
  }
  const signOf = (isNegative: boolean) => (isNegative ? "-" : sign === "-" ? "" : sign);
  if (integer !== undefined && (type === undefined || "bcdoxXn".includes(type))) {
    if (precision !== undefined) throw valueError("Precision not allowed in integer format specifier");
    if (type === "c") return pad("", String.fromCodePoint(Number(integer)), "<");
    const radixes: Readonly<Record<string, number>> = { b: 2, o: 8, x: 16, X: 16 };
    const radix = radixes[type ?? "d"] ?? 10;
    const digits = (integer < 0n ? -integer : integer).toString(radix);
    const prefix = alternative !== undefined && radix !== 10 ? `0${type}` : "";
    const body = group(type === "X" ? digits.toUpperCase() : digits, grouping, radix === 10 ? 3 : 4);
    return pad(signOf(integer < 0n) + prefix, body, ">");
  }
  const float = integer === undefined ? (value as number) : Number(integer);
  const isNegative = float < 0 || Object.is(float, -0);
  if (type === undefined) {
    const text = precision === undefined ? showFloat(Math.abs(float)) : floatDigits(float, "g", precision, false);
    const isShort = precision !== undefined && /^\d+$/.test(text) && Number.isFinite(float);
    return pad(signOf(isNegative), groupFloat(isShort && text.length < precision ? `${text}.0` : text, grouping), ">");
  }
  if (!"eEfFgGn%".includes(type)) throw wrong();
  const kind = type === "%" ? "f" : type === "n" ? "g" : type.toLowerCase();
  const digits = floatDigits(type === "%" ? float * 100 : float, kind, precision ?? 6, alternative !== undefined);
  const body = groupFloat(/[EFG]/.test(type) ? digits.toUpperCase() : digits, grouping);
  return pad(signOf(isNegative), type === "%" ? `${body}%` : body, ">");
}

function group(digits: string, separator: string | undefined, size: number): string {
  if (separator === undefined) return digits;
  return digits.replace(new RegExp(`\\B(?=(?:[0-9a-zA-Z]{${size}})+$)`, "g"), separator);
}

function groupFloat(text: string, separator: string | undefined): string {
  const [, whole = "", rest = ""] = /^(\d*)([\s\S]*)$/.exec(text) ?? [];
  return group(whole, separator, 3) + rest;
}
