import { TemplateError, typeError, valueError } from "../errors.ts";
import { showFloat } from "../values/numbers.ts";
import { compare } from "../values/operators.ts";
import {
  Dict,
  isTrue,
  plain,
  smallInteger,
  Tuple,
  typeName,
  Undefined,
  type Value,
  type Runtime,
} from "../values/index.ts";

export interface JsonOptions {
  readonly ensureAscii: Value;
  readonly indent: Value;
  readonly separators: Value;
  readonly sortKeys: Value;
}

/** Python's `json.dumps`, as transformers' `tojson` calls it: without HTML escapes. */
export function toJson(value: Value, options: JsonOptions, runtime: Runtime): string {
  const [itemSeparator, keySeparator] = separatorsOf(options.separators, options.indent !== null);
  const isAscii = isTrue(options.ensureAscii);
  if (typeof value === "string") return quote(value, isAscii);
  const indent = indentOf(options.indent, runtime);
  const sortsKeys = isTrue(options.sortKeys);
  const text = (content: string) => quote(content, isAscii);

  const listed = (parts: readonly string[], open: string, close: string, depth: number): string => {
    if (parts.length === 0) return open + close;
    if (indent === undefined) return open + parts.join(itemSeparator) + close;
    const line = `\n${indent.repeat(depth + 1)}`;
    runtime.budget.spend(line.length * parts.length);
    return `${open}${line}${parts.join(itemSeparator + line)}\n${indent.repeat(depth)}${close}`;
  };
  const write = (item: Value, depth: number): string => {
    const written = writeItem(item, depth);
    runtime.budget.spend(written.length);
    return written;
  };
  const writeItem = (value: Value, depth: number): string => {
    const item = plain(value);
    if (item === null) return "null";
    if (typeof item === "boolean") return String(item);
    if (typeof item === "bigint") return item.toString();
    if (typeof item === "number") return jsonFloat(item);
    if (typeof item === "string") return text(item);
    if (Array.isArray(item) || item instanceof Tuple) {
      const items = Array.isArray(item) ? item : item.items;
      return listed(
        items.map((part) => write(part, depth + 1)),
        "[",
        "]",
        depth,
      );
    }
    if (!(item instanceof Dict)) {
      if (item instanceof Undefined) throw typeError("Object of type Undefined is not JSON serializable");
      throw typeError(`Object of type ${typeName(item)} is not JSON serializable`);
    }
    const entries = [...item.entries];
    if (sortsKeys) entries.sort(([a], [b]) => compare(a, b, "<", runtime));
    const parts = entries.map(([key, part]) => text(keyText(key)) + keySeparator + write(part, depth + 1));
    return listed(parts, "{", "}", depth);
  };
  return write(value, 0);
}

function indentOf(value: Value, runtime: Runtime): string | undefined {
  if (value === null || typeof value === "string") return value ?? undefined;
  const width = Math.max(0, smallInteger(value));
  runtime.budget.spend(width);
  return " ".repeat(width);
}

function separatorsOf(value: Value, isIndented: boolean): readonly [string, string] {
  if (value === null) return [isIndented ? "," : ", ", ": "];
  const items = value instanceof Tuple ? value.items : Array.isArray(value) ? value : [];
  const [item, key] = items;
  if (typeof item !== "string" || typeof key !== "string" || items.length !== 2) {
    throw valueError("separators: expected two texts");
  }
  return [item, key];
}

function keyText(given: Value): string {
  const key = plain(given);
  if (typeof key === "string") return key;
  if (key === null) return "null";
  if (typeof key === "boolean") return String(key);
  if (typeof key === "bigint") return key.toString();
  if (typeof key === "number") return jsonFloat(key);
  throw new TemplateError("TypeError", `keys must be str, int, float, bool or None, not ${typeName(key)}`);
}

function jsonFloat(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "Infinity" : "-Infinity";
  return showFloat(value);
}

const short: Readonly<Record<string, string>> = {
  '"': '\\"',
  "\\": "\\\\",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\f": "\\f",
  "\b": "\\b",
};

function quote(text: string, isAscii: boolean): string {
  const unit = (c: string) => short[c] ?? `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: JSON escapes them
  const pattern = isAscii ? /["\\]|[^\x20-\x7e]/g : /["\\\x00-\x1f]/g;
  return `"${text.replace(pattern, unit)}"`;
}
