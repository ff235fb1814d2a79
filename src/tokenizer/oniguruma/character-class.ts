import { type CharacterReader, PatternSyntaxError } from "./character-reader.ts";

/** The content of a JavaScript class (flag u), or what it leaves. */
interface CharacterSet {
  readonly content: string;
  readonly isNegated: boolean;
}

const set = (content: string, isNegated = false): CharacterSet => ({ content, isNegated });
const negated = ({ content, isNegated }: CharacterSet): CharacterSet => set(content, !isNegated);

/** Oniguruma's `\w` within a class. */
const word = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}";
/** Elsewhere these belong to it, too: superscript digits and fractions of Latin-1. */
const wordOutside = `${word}\\u{b2}\\u{b3}\\u{b9}\\u{bc}-\\u{be}`;
/** A character of a word, as `\w`, `\W`, `\b` and `\B` have it outside of classes. */
export const wordClass = `[${wordOutside}]`;

/** POSIX brackets, and properties of the same name. */
const posix: Readonly<Record<string, CharacterSet>> = {
  alnum: set("\\p{Alphabetic}\\p{Nd}"),
  alpha: set("\\p{Alphabetic}"),
  ascii: set("\\p{ASCII}"),
  blank: set("\\t\\p{Zs}"),
  cntrl: set("\\p{Cc}"),
  digit: set("\\p{Nd}"),
  graph: set("\\p{White_Space}\\p{Cc}\\p{Cn}\\p{Cs}", true),
  lower: set("\\p{Lowercase}"),
  print: set("\\p{Zl}\\p{Zp}\\p{Cc}\\p{Cn}\\p{Cs}", true),
  punct: set("\\p{P}\\p{S}"),
  space: set("\\p{White_Space}"),
  upper: set("\\p{Uppercase}"),
  word: set(word),
  xdigit: set("0-9a-fA-F"),
};
/** Escape sequences, whose capitals are the complements. */
const escaped: Readonly<Record<string, CharacterSet>> = {
  w: set(word),
  d: set("\\p{Nd}"),
  s: set("\\p{White_Space}"),
  h: set("0-9a-fA-F"),
};

/** A character outside of a class. */
export function literal(code: number, foldsCase: boolean): string {
  return foldsCase && isLetter(code) ? `[${ranged(code, code, true)}]` : written(code);
}

/** The class that an escape sequence outside of a class stands for, if one comes next. */
export function readClassEscape(reader: CharacterReader): string | undefined {
  const found = readEscaped(reader, false);
  return found && `[${found.isNegated ? "^" : ""}${found.content}]`;
}

/** Published classes are not nested. */
const MAX_DEPTH = 16;

/** A class, of which the opening bracket has been read, as a pattern of one character. */
export function readClass(reader: CharacterReader, foldsCase: boolean, depth = 0): string {
  if (depth > MAX_DEPTH) throw new PatternSyntaxError(`more than ${MAX_DEPTH} nested classes`);
  const isNegated = reader.take("^");
  /** Of `&&`. */
  const operands = [new Union()];
  for (let isFirst = true; isFirst || !reader.take("]"); isFirst = false) {
    if (reader.atEnd) throw new PatternSyntaxError("a missing ]");
    if (reader.take("&&")) operands.push(new Union());
    else readItem(reader, foldsCase, depth, operands.at(-1) ?? new Union());
  }
  const [first = new Union(), ...others] = operands;
  if (others.length === 0) return first.pattern(isNegated);
  const all = operands.map((operand) => `(?=${operand.pattern(false)})`).join("");
  return isNegated ? `(?:(?!${all})[\\s\\S])` : `(?:${all}[\\s\\S])`;
}

/** What stands in a class. JavaScript's have no room for other classes or for complements of several properties. */
class Union {
  #content = "";
  readonly #beside: string[] = [];

  add({ content, isNegated }: CharacterSet): void {
    const isProperty = /^\\p\{\w+\}$/.test(content);
    if (!isNegated) this.#content += content;
    else if (isProperty) this.#content += `\\P${content.slice(2)}`;
    else this.#beside.push(`[^${content}]`);
  }

  addClass(pattern: string): void {
    this.#beside.push(pattern);
  }

  pattern(isNegated: boolean): string {
    if (this.#beside.length === 0) return `[${isNegated ? "^" : ""}${this.#content}]`;
    const beside = this.#beside.join("|");
    return isNegated ? `(?:(?!${beside})[^${this.#content}])` : `(?:[${this.#content}]|${beside})`;
  }
}

function readItem(reader: CharacterReader, foldsCase: boolean, depth: number, union: Union): void {
  const [bracket, caret, name = ""] = reader.match(/\[:(\^?)(\w+):\]/y) ?? [];
  if (bracket !== undefined) {
    const found = Object.hasOwn(posix, name) ? posix[name] : undefined;
    if (found === undefined) throw new PatternSyntaxError(bracket);
    refuseFolded(foldsCase, found);
    union.add(caret === "^" ? negated(found) : found);
    return;
  }
  if (reader.take("[")) {
    union.addClass(readClass(reader, foldsCase, depth + 1));
    return;
  }
  const isRange = () => reader.is("-") && reader.next(2) !== "-]";
  const found = readEscaped(reader, true);
  if (found !== undefined) {
    if (isRange()) throw new PatternSyntaxError("a range that begins with a class");
    refuseFolded(foldsCase, found);
    union.add(found);
    return;
  }
  const character = () =>
    reader.take("\\b") ? 8 : reader.is("\\") ? reader.escapedCharacter() : reader.nextCharacter();
  const first = character();
  if (!isRange()) {
    union.add(set(ranged(first, first, foldsCase)));
    return;
  }
  reader.skip(1);
  if (reader.is("[")) throw new PatternSyntaxError("a range that ends with a class");
  const last = character();
  if (last < first) throw new PatternSyntaxError("a range that ends before it begins");
  union.add(set(ranged(first, last, foldsCase)));
}

/** Properties of letters of both cases. */
const caseless: ReadonlySet<string> = new Set([word, "\\p{L}", "\\p{N}", "\\p{Nd}", "\\p{White_Space}"]);

function refuseFolded(foldsCase: boolean, { content }: CharacterSet): void {
  if (foldsCase && !caseless.has(content)) throw new PatternSyntaxError(`${content} without regard to case`);
}

/** The set of an escape sequence, if one comes next. */
function readEscaped(reader: CharacterReader, isInClass: boolean): CharacterSet | undefined {
  const [property, sign, caret, name] = reader.match(/\\([pP])\{(\^?)([\w\s-]{1,64})\}/y) ?? [];
  if (property !== undefined) {
    const found = propertyOf(name ?? "", isInClass);
    return (sign === "P") === (caret === "^") ? found : negated(found);
  }
  const letter = reader.is("\\") ? (reader.next(2)[1] ?? "") : "";
  const lower = letter.toLowerCase();
  if (letter === "N" && !isInClass) {
    reader.skip(2);
    return set("\\n", true);
  }
  const found = Object.hasOwn(escaped, lower) ? escaped[lower] : undefined;
  if (found === undefined) return undefined;
  reader.skip(2);
  const shown = lower === "w" && !isInClass ? set(wordOutside) : found;
  return letter === lower ? shown : negated(shown);
}

/** Names are compared without regard to case, spaces, hyphens and underscores. */
function propertyOf(name: string, isInClass: boolean): CharacterSet {
  const plain = name.toLowerCase().replace(/[\s_-]/g, "");
  if (plain === "punct") return set("\\p{P}");
  if (plain === "word" && !isInClass) return set(wordOutside);
  const known = Object.hasOwn(posix, plain) ? posix[plain] : undefined;
  if (known !== undefined) return known;
  const title = name.replace(/[^\W_]+/g, (part) => `${part.slice(0, 1).toUpperCase()}${part.slice(1).toLowerCase()}`);
  const found = [name, title, `Script=${name}`, `Script=${title}`].find((one) => isProperty(one));
  if (found === undefined) throw new PatternSyntaxError(`\\p{${name}}`);
  return set(`\\p{${found}}`);
}

function isProperty(name: string): boolean {
  try {
    return new RegExp(`\\p{${name}}`, "u").unicode;
  } catch {
    return false;
  }
}

/** A range of characters as the content of a class. */
function ranged(first: number, last: number, foldsCase: boolean): string {
  const text = first === last ? written(first) : `${written(first)}-${written(last)}`;
  if (!foldsCase || (first === last && !isLetter(first))) return text;
  if (last > 0x7f) throw new PatternSyntaxError("other letters than a to z without regard to case");
  let others = "";
  for (const [from, shift] of [
    [0x41, 32],
    [0x61, -32],
  ] as const) {
    const [low, high] = [Math.max(first, from), Math.min(last, from + 25)];
    if (low <= high) others += `${written(low + shift)}-${written(high + shift)}`;
    // The long s and the Kelvin sign.
    if (low <= from + 18 && from + 18 <= high) others += "\\u{17f}";
    if (low <= from + 10 && from + 10 <= high) others += "\\u{212a}";
  }
  return text + others;
}

function isLetter(code: number): boolean {
  return /^\p{L}$/u.test(String.fromCodePoint(code));
}

function written(code: number): string {
  const text = String.fromCodePoint(code);
  return /^[a-zA-Z0-9]$/.test(text) ? text : `\\u{${code.toString(16)}}`;
}
