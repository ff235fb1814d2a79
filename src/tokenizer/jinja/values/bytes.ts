import { type Bound, bind, signature } from "./signature.ts";
import { TemplateError, typeError, valueError } from "../errors.ts";
import { integerOf, PyFunction, PyObject, type Runtime, smallInteger, typeName, type Value } from "./index.ts";

/** What `str.encode` gives. A template can print it, count it, read its items and decode it again. */
export class Bytes extends PyObject {
  override readonly typeName = "bytes";
  readonly content: Uint8Array;

  constructor(content: Uint8Array) {
    super();
    this.content = content;
  }

  override get length(): number {
    return this.content.length;
  }

  *#values(): Generator<Value, undefined> {
    for (const byte of this.content) yield BigInt(byte);
    return undefined;
  }

  override iterate(): Iterator<Value> {
    return this.#values();
  }

  override attribute(name: string): Value | undefined {
    if (name === "decode") return new PyFunction(name, (args) => decode(this.content, bind(name, codec, args)));
    if (name !== "hex") return undefined;
    return new PyFunction(name, (args) => {
      bind(name, signature(""), args);
      return Buffer.from(this.content).toString("hex");
    });
  }

  override show(runtime: Runtime): string {
    runtime.budget.spend(4 * this.content.length);
    const escapes: Readonly<Record<string, string>> = { "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t" };
    const text = Array.from(this.content, (byte) => String.fromCharCode(byte)).join("");
    const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
    const shown = Array.from(text, (character) => {
      if (character === quote) return `\\${character}`;
      if (character >= " " && character <= "~" && character !== "\\") return character;
      return escapes[character] ?? `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`;
    });
    return `b${quote}${shown.join("")}${quote}`;
  }
}

const codec = signature("encoding? errors?");
const names: Readonly<Record<string, "utf-8" | "ascii" | "latin-1">> = {
  ...{ "utf-8": "utf-8", utf8: "utf-8", utf_8: "utf-8" },
  ...{ ascii: "ascii", "us-ascii": "ascii", us_ascii: "ascii" },
  ...{ "latin-1": "latin-1", latin1: "latin-1", "iso-8859-1": "latin-1", latin_1: "latin-1" },
};

function textArgument(value: Value, name: string): string {
  if (typeof value !== "string") throw typeError(`argument '${name}' must be str, not ${typeName(value)}`);
  return value;
}

function codecOf([encoding = "utf-8", errors = "strict"]: Bound) {
  const name = textArgument(encoding, "encoding").toLowerCase();
  const found = Object.hasOwn(names, name) ? names[name] : undefined;
  if (found === undefined) throw new TemplateError("KeyError", `unknown encoding: ${name}`);
  return { encoding: found, errors: textArgument(errors, "errors") };
}

/** `str.encode` */
export function encode(text: string, args: Bound, runtime: Runtime): Bytes {
  const { encoding, errors } = codecOf(args);
  runtime.budget.spend(3 * text.length);
  if (encoding === "utf-8") return new Bytes(new TextEncoder().encode(text));
  const end = encoding === "ascii" ? 0x80 : 0x100;
  const bytes = Array.from(text).flatMap((character) => {
    const code = character.codePointAt(0) ?? 0;
    if (code < end) return [code];
    if (errors === "ignore") return [];
    if (errors === "replace") return [0x3f];
    throw valueError(`'${encoding}' codec can't encode character at position ${text.indexOf(character)}`);
  });
  return new Bytes(Uint8Array.from(bytes));
}

function decode(content: Uint8Array, args: Bound): string {
  const { encoding, errors } = codecOf(args);
  if (encoding === "latin-1") return Buffer.from(content).toString("latin1");
  const isStrict = errors === "strict";
  if (encoding === "ascii" && isStrict && content.some((byte) => byte > 0x7f)) {
    throw valueError("'ascii' codec can't decode: ordinal not in range(128)");
  }
  try {
    const text = new TextDecoder("utf-8", { fatal: isStrict, ignoreBOM: true }).decode(content);
    return errors === "ignore" ? text.replaceAll("\ufffd", "") : text;
  } catch {
    throw valueError("'utf-8' codec can't decode: invalid byte");
  }
}

/** An item of bytes; undefined if there is none. */
export function byteAt(bytes: Bytes, key: Value): Value | undefined {
  if (integerOf(key) === undefined) throw typeError(`byte indices must be integers or slices, not ${typeName(key)}`);
  const byte = bytes.content.at(smallInteger(key));
  return byte === undefined ? undefined : BigInt(byte);
}
