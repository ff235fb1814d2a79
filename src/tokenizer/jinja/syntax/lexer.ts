import { TemplateSyntaxError } from "../errors.ts";
import { SPACE_CLASS, unescapeLiteral } from "../strings/text.ts";

/** Tokens of Jinja2's lexer, with trim_blocks and lstrip_blocks. Operators have their text as type. */
export interface Token {
  readonly type: string;
  readonly text: string;
  /** Of integers and floats. */
  readonly number?: bigint | number;
  readonly line: number;
}

const operators = /\/\/|\*\*|==|!=|>=|<=|[-+/*%~[\](){}><=.:|,;]/y;
const space = new RegExp(`${SPACE_CLASS}+`, "y");
const float = /(?<!\.)(?:\d+_)*\d+(?:(?:\.(?:\d+_)*\d+)?e[+-]?(?:\d+_)*\d+|\.(?:\d+_)*\d+)/iy;
const integer = /0b(?:_?[01])+|0o(?:_?[0-7])+|0x(?:_?[\da-f])+|[1-9](?:_?\d)*|0(?:_?0)*/iy;
const name = /[\p{L}\p{N}\p{M}_·]+/uy;
const identifier = /^[\p{XID_Start}_]\p{XID_Continue}*$/u;
const string = /'[^'\\]*(?:\\[\s\S][^'\\]*)*'|"[^"\\]*(?:\\[\s\S][^"\\]*)*"/y;

const blockEnd = new RegExp(`\\+%\\}|-%\\}${SPACE_CLASS}*|%\\}\\n?`, "y");
const variableEnd = new RegExp(`-\\}\\}${SPACE_CLASS}*|\\}\\}`, "y");
const commentEnd = new RegExp(`\\+#\\}|-#\\}${SPACE_CLASS}*|#\\}\\n?`, "g");
const rawBegin = new RegExp(`\\{%[-+]?${SPACE_CLASS}*raw${SPACE_CLASS}*(?:-%\\}${SPACE_CLASS}*|%\\})`, "y");
const rawEnd = new RegExp(
  `\\{%([-+]?)${SPACE_CLASS}*endraw${SPACE_CLASS}*(?:\\+%\\}|-%\\}${SPACE_CLASS}*|%\\}\\n?)`,
  "g",
);
const tagBegin = /\{[%{#]/g;
const trailingSpace = new RegExp(`${SPACE_CLASS}+$`);
const onlySpace = new RegExp(`^${SPACE_CLASS}+$`);

const closing: Readonly<Record<string, string>> = { "{": "}", "(": ")", "[": "]" };

function matchAt(pattern: RegExp, text: string, at: number): RegExpExecArray | null {
  pattern.lastIndex = at;
  return pattern.exec(text);
}

/** @throws TemplateSyntaxError. */
export function tokenize(template: string): Token[] {
  return new Lexer(template).run();
}

class Lexer {
  readonly #source: string;
  readonly #tokens: Token[] = [];
  #at = 0;
  #line = 1;
  /** Whether the text from here begins a line, so that lstrip_blocks applies to it. */
  #startsLine = true;

  constructor(template: string) {
    // All line ends are "\n", and the last one is not part of the template (Jinja2's keep_trailing_newline).
    const source = template.replace(/\r\n|\r/g, "\n");
    this.#source = source.endsWith("\n") ? source.slice(0, -1) : source;
  }

  run(): Token[] {
    const source = this.#source;
    while (this.#at < source.length) {
      const tag = matchAt(tagBegin, source, this.#at);
      if (tag === null) {
        this.#pushData(source.slice(this.#at));
        break;
      }
      this.#readTag(tag.index);
    }
    this.#push("eof", "");
    return this.#tokens;
  }

  #readTag(at: number): void {
    const source = this.#source;
    const kind = source[at + 1];
    const raw = matchAt(rawBegin, source, at);
    const sign = source[at + 2] === "-" || source[at + 2] === "+" ? (source[at + 2] as string) : "";
    this.#pushData(this.#stripped(source.slice(this.#at, at), sign, kind === "{"));
    this.#line += source.slice(this.#at, at).split("\n").length - 1;
    if (raw !== null) {
      this.#moveTo(at + raw[0].length, at);
      this.#readRaw();
    } else if (kind === "#") {
      this.#moveTo(at + 2 + sign.length, at);
      const end = matchAt(commentEnd, source, this.#at);
      // As in Jinja2, nothing is missing where the template ends at once.
      if (this.#at === source.length) return;
      if (end === null) throw new TemplateSyntaxError("Missing end of comment tag", this.#line);
      this.#moveTo(end.index + end[0].length, this.#at);
    } else {
      this.#moveTo(at + 2 + sign.length, at);
      const isVariable = kind === "{";
      this.#push(isVariable ? "variable_begin" : "block_begin", "");
      this.#readExpression(isVariable ? variableEnd : blockEnd, isVariable ? "variable_end" : "block_end");
    }
  }

  /** Text before a tag, stripped as the tag's sign and lstrip_blocks demand. */
  #stripped(text: string, sign: string, isVariable: boolean): string {
    if (sign === "-") return text.replace(trailingSpace, "");
    if (sign === "+" || isVariable) return text;
    const lineStart = text.lastIndexOf("\n") + 1;
    if (lineStart === 0 && !this.#startsLine) return text;
    return onlySpace.test(text.slice(lineStart)) ? text.slice(0, lineStart) : text;
  }

  #readRaw(): void {
    const source = this.#source;
    const end = matchAt(rawEnd, source, this.#at);
    if (this.#at === source.length) return;
    if (end === null) throw new TemplateSyntaxError("Missing end of raw directive", this.#line);
    this.#pushData(this.#stripped(source.slice(this.#at, end.index), end[1] ?? "", false));
    this.#moveTo(end.index + end[0].length, this.#at);
  }

  #readExpression(end: RegExp, endType: string): void {
    const source = this.#source;
    const open: string[] = [];
    for (;;) {
      const found = open.length === 0 ? matchAt(end, source, this.#at) : null;
      if (found !== null) {
        this.#push(endType, "");
        this.#moveTo(this.#at + found[0].length, this.#at);
        return;
      }
      if (this.#at >= source.length) {
        // The parser reports what is missing.
        return;
      }
      this.#readOne(open);
    }
  }

  #readOne(open: string[]): void {
    const start = this.#at;
    const take = (pattern: RegExp): string | undefined => matchAt(pattern, this.#source, start)?.[0];
    const blank = take(space);
    const decimal = blank === undefined ? take(float) : undefined;
    const whole = blank === undefined && decimal === undefined ? take(integer) : undefined;
    const other = blank ?? decimal ?? whole;
    if (decimal !== undefined) this.#push("float", decimal, Number(decimal.replaceAll("_", "")));
    if (whole !== undefined) this.#push("integer", whole, BigInt(whole.replaceAll("_", "")));
    const end = start + (other ?? this.#readWord(take, open)).length;
    this.#moveTo(end, start);
  }

  /** A name, a string or an operator. */
  #readWord(take: (pattern: RegExp) => string | undefined, open: string[]): string {
    const word = take(name);
    if (word !== undefined) {
      if (!identifier.test(word)) throw new TemplateSyntaxError("Invalid character in identifier", this.#line);
      this.#push("name", word);
      return word;
    }
    const literal = take(string);
    if (literal !== undefined) {
      const value = unescapeLiteral(literal.slice(1, -1));
      if (value === undefined) throw new TemplateSyntaxError("invalid escape in a string", this.#line);
      this.#push("string", value);
      return literal;
    }
    const operator = take(operators);
    if (operator === undefined) {
      const found = JSON.stringify(this.#source[this.#at]);
      throw new TemplateSyntaxError(`unexpected char ${found} at ${this.#at}`, this.#line);
    }
    this.#balance(operator, open);
    this.#push(operator, operator);
    return operator;
  }

  #balance(operator: string, open: string[]): void {
    const close = closing[operator];
    if (close !== undefined) open.push(close);
    if (operator !== "}" && operator !== ")" && operator !== "]") return;
    const expected = open.pop();
    if (expected === operator) return;
    const hint = expected === undefined ? "" : `, expected '${expected}'`;
    throw new TemplateSyntaxError(`unexpected '${operator}'${hint}`, this.#line);
  }

  #moveTo(end: number, from: number): void {
    for (let i = this.#source.indexOf("\n", from); i >= 0 && i < end; i = this.#source.indexOf("\n", i + 1))
      this.#line++;
    this.#startsLine = this.#source[end - 1] === "\n";
    this.#at = end;
  }

  #pushData(text: string): void {
    if (text !== "") this.#push("data", text);
  }

  #push(type: string, text: string, number?: bigint | number): void {
    this.#tokens.push(
      number === undefined ? { type, text, line: this.#line } : { type, text, number, line: this.#line },
    );
  }
}
