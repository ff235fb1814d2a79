import {
  anyCharacter,
  type CharacterSet,
  type CodePointRange,
  charactersIn,
  charactersOf,
  complementOf,
  difference,
} from "../characters.ts";
import { characters, choice, type Expression, empty, MAX_REPEAT, repeat, sequence } from "../expression.ts";
import { grammarProblem } from "../problem.ts";

/** Nested groups, which are parsed recursively. */
const MAX_DEPTH = 100;
const MAX_LENGTH = 20_000;

const DIGITS = charactersOf([[0x30, 0x39]]);
const WORD = charactersOf([
  [0x30, 0x39],
  [0x41, 0x5a],
  [0x5f, 0x5f],
  [0x61, 0x7a],
]);
/** `\s` of ECMAScript. */
const SPACES = charactersIn(
  "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000\ufeff",
);
const NOT_LINE_ENDS = difference(anyCharacter, charactersIn("\n\r\u2028\u2029"));

const classes: Readonly<Record<string, CharacterSet>> = {
  d: DIGITS,
  D: complementOf(DIGITS),
  w: WORD,
  W: complementOf(WORD),
  s: SPACES,
  S: complementOf(SPACES),
};
const controls: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t", f: "\f", v: "\v", "0": "\0" };

export interface RegexOptions {
  /** Where the pattern stands in the request. */
  readonly path: string;
  /** How a character of the text is written. Default: as itself. */
  readonly character?: ((set: CharacterSet) => Expression) | undefined;
  /** Whether the pattern may match a part of the text, as in JSON schemas. Default: it matches the whole text. */
  readonly isSearch?: boolean | undefined;
}

/**
 * Converts a regular expression of ECMAScript with the flag u. @throws IdlmError "usage", naming what is wrong or not
 * regular: back references, look-around, word boundaries, and anchors inside.
 */
export function parseRegex(pattern: string, options: RegexOptions): Expression {
  if (pattern.length > MAX_LENGTH) {
    throw grammarProblem(options.path, `the regular expression has more than ${MAX_LENGTH} characters`);
  }
  return new RegexParser(pattern, options).parse();
}

class RegexParser {
  readonly #source: readonly string[];
  readonly #path: string;
  readonly #character: (set: CharacterSet) => Expression;
  readonly #isSearch: boolean;
  #at = 0;
  #depth = 0;

  constructor(pattern: string, { path, character = characters, isSearch = false }: RegexOptions) {
    this.#source = [...pattern];
    this.#path = path;
    this.#character = character;
    this.#isSearch = isSearch;
  }

  parse(): Expression {
    const alternatives = [this.#anchored()];
    while (this.#take("|")) alternatives.push(this.#anchored());
    if (this.#at < this.#source.length) throw this.#wrong("unmatched )");
    return choice(...alternatives);
  }

  /** An alternative of the whole pattern: only here ^ and $ can stand. */
  #anchored(): Expression {
    const any = this.#isSearch ? repeat(this.#character(anyCharacter), 0, undefined) : empty;
    let isStart = false;
    while (this.#take("^")) isStart = true;
    const body = this.#sequence();
    let isEnd = false;
    while (this.#take("$")) isEnd = true;
    return sequence(isStart ? empty : any, body, isEnd ? empty : any);
  }

  #alternatives(): Expression {
    const alternatives = [this.#sequence()];
    while (this.#take("|")) alternatives.push(this.#sequence());
    return choice(...alternatives);
  }

  #sequence(): Expression {
    const parts: Expression[] = [];
    for (let next = this.#peek(); next !== undefined && next !== "|" && next !== ")"; next = this.#peek()) {
      if (next === "$" && this.#depth === 0) break;
      parts.push(this.#quantified(this.#atom()));
    }
    return sequence(...parts);
  }

  #atom(): Expression {
    const next = this.#next();
    switch (next) {
      case "(":
        return this.#group();
      case "[":
        return this.#character(this.#class());
      case ".":
        return this.#character(NOT_LINE_ENDS);
      case "\\":
        return this.#character(this.#escape(false));
      case "^":
      case "$":
        throw this.#unsupported(`${next} inside of the pattern`);
      case "*":
      case "+":
      case "?":
      case "{":
      case "}":
      case "]":
        throw this.#wrong(`${next} must be written \\${next} here`);
      default:
        return this.#character(charactersIn(next));
    }
  }

  #group(): Expression {
    if (this.#take("?")) {
      const kind = this.#next();
      if (kind === "<" && /[=!]/.test(this.#peek() ?? "")) throw this.#unsupported("look-behind");
      if (kind === "=" || kind === "!") throw this.#unsupported("look-ahead");
      if (kind === "P" || kind === "<") {
        if (kind === "P" && !this.#take("<")) throw this.#unsupported("(?P");
        while (this.#next() !== ">");
      } else if (kind !== ":") throw this.#unsupported(`(?${kind}`);
    }
    if (++this.#depth > MAX_DEPTH) throw this.#wrong(`groups are nested more than ${MAX_DEPTH} levels deep`);
    const body = this.#alternatives();
    this.#depth--;
    if (!this.#take(")")) throw this.#wrong("a group is not closed");
    return body;
  }

  #quantified(part: Expression): Expression {
    const range = this.#range();
    if (range === undefined) return part;
    // Lazy or greedy: the same texts match.
    this.#take("?");
    if (/^[*+?{]$/.test(this.#peek() ?? "")) throw this.#wrong("two quantifiers follow each other");
    const [min, max] = range;
    if (min > MAX_REPEAT) throw this.#wrong(`${min} repetitions are more than ${MAX_REPEAT}`);
    if (max !== undefined && max < min) throw this.#wrong(`{${min},${max}} is out of order`);
    return repeat(part, min, max === undefined ? undefined : Math.min(max, MAX_REPEAT));
  }

  #range(): readonly [number, number | undefined] | undefined {
    if (this.#take("*")) return [0, undefined];
    if (this.#take("+")) return [1, undefined];
    if (this.#take("?")) return [0, 1];
    if (!this.#take("{")) return undefined;
    const min = this.#number();
    const max = this.#take(",") ? (this.#peek() === "}" ? undefined : this.#number()) : min;
    if (!this.#take("}")) throw this.#wrong("{ starts no repetition; write \\{ for the character");
    return [min, max];
  }

  #number(): number {
    let digits = "";
    while (/^\d$/.test(this.#peek() ?? "")) digits += this.#next();
    if (digits === "") throw this.#wrong("{ starts no repetition; write \\{ for the character");
    return Number(digits);
  }

  #class(): CharacterSet {
    const isNegated = this.#take("^");
    const ranges: CodePointRange[] = [];
    while (!this.#take("]")) {
      const first = this.#classMember();
      if (this.#peek() !== "-" || this.#source[this.#at + 1] === "]") {
        ranges.push(...first);
        continue;
      }
      this.#next();
      const last = this.#classMember();
      const from = onlyOf(first);
      const to = onlyOf(last);
      if (from === undefined || to === undefined) throw this.#wrong("a range in [] has a class at one end");
      if (from > to) throw this.#wrong("a range in [] is out of order");
      ranges.push([from, to]);
    }
    const set = charactersOf(ranges);
    return isNegated ? complementOf(set) : set;
  }

  #classMember(): CharacterSet {
    const next = this.#next();
    return next === "\\" ? this.#escape(true) : charactersIn(next);
  }

  /** After a backslash. */
  #escape(isInClass: boolean): CharacterSet {
    const next = this.#next();
    const named = classes[next] ?? (controls[next] === undefined ? undefined : charactersIn(controls[next]));
    if (named !== undefined && Object.hasOwn({ ...classes, ...controls }, next)) return named;
    if (next === "x") return this.#hexadecimal(2);
    if (next === "u") return this.#unicode();
    if (next === "c") {
      const letter = this.#next();
      if (!/^[A-Za-z]$/.test(letter)) throw this.#wrong(`\\c${letter}`);
      return charactersIn(String.fromCharCode(letter.charCodeAt(0) & 31));
    }
    if (isInClass && next === "b") return charactersIn("\b");
    if (next === "b" || next === "B") throw this.#unsupported("a word boundary");
    if (next === "p" || next === "P") throw this.#unsupported(`\\${next}`);
    if (/^[1-9k]$/.test(next)) throw this.#unsupported("a back reference");
    if (/^[A-Za-z0-9]$/.test(next)) throw this.#wrong(`\\${next} means nothing`);
    return charactersIn(next);
  }

  #unicode(): CharacterSet {
    if (this.#take("{")) {
      let digits = "";
      for (let next = this.#next(); next !== "}"; next = this.#next()) digits += next;
      return this.#codePoint(digits);
    }
    const high = this.#digits(4);
    const code = Number.parseInt(high, 16);
    if (code >= 0xd800 && code <= 0xdbff && this.#take("\\") && this.#take("u")) {
      const low = Number.parseInt(this.#digits(4), 16);
      if (low >= 0xdc00 && low <= 0xdfff) return charactersIn(String.fromCharCode(code, low));
    }
    return this.#codePoint(high);
  }

  #hexadecimal(length: number): CharacterSet {
    return this.#codePoint(this.#digits(length));
  }

  #digits(length: number): string {
    return Array.from({ length }, () => this.#next()).join("");
  }

  #codePoint(digits: string): CharacterSet {
    const code = /^[0-9a-fA-F]{1,8}$/.test(digits) ? Number.parseInt(digits, 16) : Number.POSITIVE_INFINITY;
    if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) throw this.#wrong(`${digits} is no character`);
    return [[code, code]];
  }

  #peek(): string | undefined {
    return this.#source[this.#at];
  }

  #next(): string {
    const next = this.#source[this.#at++];
    if (next === undefined) throw this.#wrong("it ends too early");
    return next;
  }

  #take(expected: string): boolean {
    if (this.#peek() !== expected) return false;
    this.#at++;
    return true;
  }

  #wrong(problem: string) {
    return grammarProblem(this.#path, `the regular expression is wrong at character ${this.#at}: ${problem}`);
  }

  #unsupported(what: string) {
    return grammarProblem(
      this.#path,
      `the regular expression has ${what}, which is not supported`,
      "Write it without, or leave the pattern out.",
    );
  }
}

/** The character of a set of one. */
function onlyOf(set: CharacterSet): number | undefined {
  const [range] = set;
  return set.length === 1 && range !== undefined && range[0] === range[1] ? range[0] : undefined;
}
