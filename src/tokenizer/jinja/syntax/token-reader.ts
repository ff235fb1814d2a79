import { TemplateSyntaxError } from "../errors.ts";
import type { Token } from "./lexer.ts";

/** Reads tokens in order, one ahead, and names the token that was not expected. */
export class TokenReader {
  readonly #tokens: readonly Token[];
  #at = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  protected get current(): Token {
    return this.#tokens[Math.min(this.#at, this.#tokens.length - 1)] as Token;
  }

  protected look(): Token {
    return this.#tokens[Math.min(this.#at + 1, this.#tokens.length - 1)] as Token;
  }

  protected next(): Token {
    const token = this.current;
    this.#at++;
    return token;
  }

  protected isName(...names: readonly string[]): boolean {
    return this.current.type === "name" && names.includes(this.current.text);
  }

  protected skipName(name: string): boolean {
    if (!this.isName(name)) return false;
    this.next();
    return true;
  }

  protected skip(type: string): boolean {
    if (this.current.type !== type) return false;
    this.next();
    return true;
  }

  protected expect(type: string): Token {
    if (this.current.type !== type) throw this.fail(`expected ${described(type)}, got ${this.shown()}`);
    return this.next();
  }

  protected fail(message: string, line = this.current.line): TemplateSyntaxError {
    return new TemplateSyntaxError(message, line);
  }

  protected shown(): string {
    const { type, text } = this.current;
    return type === "name" || type === "string" ? `'${text.slice(0, 40)}'` : described(type);
  }
}

function described(type: string): string {
  const names: Readonly<Record<string, string>> = {
    variable_end: "end of print statement",
    block_end: "end of statement block",
    eof: "end of template",
    name: "a name",
  };
  return names[type] ?? `'${type}'`;
}
