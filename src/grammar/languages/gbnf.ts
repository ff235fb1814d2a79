import {
  anyCharacter,
  type CharacterSet,
  type CodePointRange,
  charactersIn,
  charactersOf,
  complementOf,
} from "../characters.ts";
import {
  characters,
  choice,
  type Expression,
  type Grammar,
  MAX_REPEAT,
  repeat,
  rule,
  sequence,
  text,
} from "../expression.ts";
import { grammarProblem } from "../problem.ts";

const MAX_LENGTH = 250_000;
const MAX_RULES = 10_000;
/** Nested parentheses, which are parsed recursively. */
const MAX_DEPTH = 100;

/**
 * Parses EBNF as llama.cpp has it (GBNF): rules `name ::= …`, strings, classes, groups, `.`, `* + ? {m,n}`, comments. The
 * text has to match the rule root. @throws IdlmError "usage" with line and column.
 */
export function parseGbnf(source: string, path: string): Grammar {
  if (source.length > MAX_LENGTH) throw grammarProblem(path, `it has more than ${MAX_LENGTH} characters`);
  return new GbnfParser(source, path).parse();
}

class GbnfParser {
  readonly #source: string;
  readonly #path: string;
  #at = 0;
  #depth = 0;

  constructor(source: string, path: string) {
    this.#source = source;
    this.#path = path;
  }

  parse(): Grammar {
    const rules = new Map<string, Expression>();
    for (this.#space(true); this.#at < this.#source.length; this.#space(true)) {
      const name = this.#name();
      if (name === "") throw this.#wrong("expected the name of a rule");
      this.#space(true);
      if (!this.#take("::=")) throw this.#wrong(`expected ::= after ${name}`);
      if (rules.has(name)) throw this.#wrong(`the rule ${name} is defined twice`);
      if (rules.size === MAX_RULES) throw grammarProblem(this.#path, `it has more than ${MAX_RULES} rules`);
      rules.set(name, this.#alternatives(false));
      if (this.#at < this.#source.length && !this.#atLineEnd()) throw this.#wrong("expected a new line after the rule");
    }
    if (!rules.has("root")) throw grammarProblem(this.#path, "there is no rule root");
    return { root: rule("root"), rules };
  }

  /** `isInside`: in parentheses, where lines do not end the rule. */
  #alternatives(isInside: boolean): Expression {
    this.#space(true);
    const parts = [this.#sequence(isInside)];
    // An alternative may start on a line of its own.
    for (; this.#isBarNext(isInside); parts.push(this.#sequence(isInside))) {
      this.#space(true);
      this.#take("|");
      this.#space(true);
    }
    return choice(...parts);
  }

  #isBarNext(isInside: boolean): boolean {
    const start = this.#at;
    this.#space(true);
    const isBar = this.#peek() === "|";
    if (!isInside || isBar) this.#at = start;
    return isBar;
  }

  #sequence(isInside: boolean): Expression {
    const parts: Expression[] = [];
    for (;;) {
      this.#space(isInside);
      const start = this.#at;
      const part = this.#atom();
      if (part === undefined) break;
      // In llama.cpp, too, a name before ::= starts the next rule.
      if (part.kind === "rule" && this.#isAssigned()) {
        this.#at = start;
        break;
      }
      parts.push(this.#quantified(part));
    }
    return sequence(...parts);
  }

  #isAssigned(): boolean {
    return /^[ \t]*::=/.test(this.#source.slice(this.#at, this.#at + 80));
  }

  #atom(): Expression | undefined {
    const next = this.#peek();
    if (next === '"') return this.#string();
    if (next === "[") return this.#class();
    if (next === ".") {
      this.#at++;
      return characters(anyCharacter);
    }
    if (next === "(") {
      this.#at++;
      if (++this.#depth > MAX_DEPTH) throw this.#wrong(`groups are nested more than ${MAX_DEPTH} levels deep`);
      const body = this.#alternatives(true);
      this.#depth--;
      this.#space(true);
      if (!this.#take(")")) throw this.#wrong("expected )");
      return body;
    }
    if (next === "<" || next === "!") throw this.#wrong("tokens (<…>) are not supported; write their text");
    const name = this.#name();
    return name === "" ? undefined : rule(name);
  }

  #quantified(part: Expression): Expression {
    let found = part;
    for (;;) {
      if (this.#take("*")) found = repeat(found, 0, undefined);
      else if (this.#take("+")) found = repeat(found, 1, undefined);
      else if (this.#take("?")) found = repeat(found, 0, 1);
      else if (this.#take("{")) found = this.#counted(found);
      else return found;
    }
  }

  #counted(part: Expression): Expression {
    const [written] = /^[^}]{0,40}/.exec(this.#source.slice(this.#at, this.#at + 40)) ?? [""];
    const match = /^\s*(\d+)\s*(?:(,)\s*(\d*)\s*)?$/.exec(written);
    if (match === null) throw this.#wrong("expected {n}, {n,} or {n,m}");
    this.#at += written.length;
    if (!this.#take("}")) throw this.#wrong("expected }");
    const [, from = "", comma, to = ""] = match;
    const min = Number(from);
    const max = comma === undefined ? min : to === "" ? undefined : Number(to);
    if (min > MAX_REPEAT) throw this.#wrong(`${min} repetitions are more than ${MAX_REPEAT}`);
    if (max !== undefined && max < min) throw this.#wrong(`{${min},${max}} is out of order`);
    return repeat(part, min, max === undefined ? undefined : Math.min(max, MAX_REPEAT));
  }

  #string(): Expression {
    this.#at++;
    let value = "";
    for (;;) {
      const next = this.#character();
      if (next === '"') return text(value);
      value += next === "\\" ? this.#escape() : next;
    }
  }

  #class(): Expression {
    this.#at++;
    const isNegated = this.#take("^");
    const ranges: CodePointRange[] = [];
    const member = () => {
      const next = this.#character();
      const character = next === "\\" ? this.#escape() : next;
      return character.codePointAt(0) as number;
    };
    while (!this.#take("]")) {
      const first = member();
      const isRange = this.#peek() === "-" && this.#source[this.#at + 1] !== "]";
      if (isRange) this.#at++;
      const last = isRange ? member() : first;
      if (last < first) throw this.#wrong("a range in [] is out of order");
      ranges.push([first, last]);
    }
    const set: CharacterSet = charactersOf(ranges);
    return characters(isNegated ? complementOf(set) : set);
  }

  #escape(): string {
    const next = this.#character();
    const simple: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t" };
    if (simple[next] !== undefined) return simple[next];
    const length = { x: 2, u: 4, U: 8 }[next];
    if (length === undefined) {
      if (/^[A-Za-z0-9]$/.test(next)) throw this.#wrong(`\\${next} means nothing`);
      return next;
    }
    const digits = this.#source.slice(this.#at, this.#at + length);
    const code = /^[0-9a-fA-F]+$/.test(digits) && digits.length === length ? Number.parseInt(digits, 16) : -1;
    const [character] = code < 0 || code > 0x10ffff ? [] : charactersIn(String.fromCodePoint(code));
    if (character === undefined) throw this.#wrong(`\\${next}${digits} is no character`);
    this.#at += length;
    return String.fromCodePoint(code);
  }

  /** The next character, which must be on this line. */
  #character(): string {
    const code = this.#source.codePointAt(this.#at);
    if (code === undefined || code === 10) throw this.#wrong("a string or class is not closed");
    const next = String.fromCodePoint(code);
    this.#at += next.length;
    return next;
  }

  #name(): string {
    const [name] = /^[A-Za-z0-9_-]{0,200}/.exec(this.#source.slice(this.#at, this.#at + 200)) ?? [""];
    this.#at += name.length;
    return name;
  }

  /** Skips white space and comments. */
  #space(lines: boolean): void {
    for (let next = this.#peek(); next !== undefined; next = this.#peek()) {
      if (next === "#") {
        const end = this.#source.indexOf("\n", this.#at);
        this.#at = end < 0 ? this.#source.length : end;
      } else if (next === " " || next === "\t" || (lines && (next === "\n" || next === "\r"))) this.#at++;
      else return;
    }
  }

  #atLineEnd(): boolean {
    this.#space(false);
    const next = this.#peek();
    return next === undefined || next === "\n" || next === "\r";
  }

  #peek(): string | undefined {
    return this.#source[this.#at];
  }

  #take(expected: string): boolean {
    if (!this.#source.startsWith(expected, this.#at)) return false;
    this.#at += expected.length;
    return true;
  }

  #wrong(problem: string) {
    const before = this.#source.slice(0, this.#at).split("\n");
    const column = (before.at(-1)?.length ?? 0) + 1;
    return grammarProblem(this.#path, `the grammar is wrong at line ${before.length}, column ${column}: ${problem}`);
  }
}
