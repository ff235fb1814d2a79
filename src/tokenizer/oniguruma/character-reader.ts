/** Why a pattern cannot be translated: what it has. */
export class PatternSyntaxError extends Error {}

export interface Quantifier {
  readonly least: number;
  /** Undefined: any number. */
  readonly most: number | undefined;
  readonly kind: "greedy" | "lazy" | "possessive";
}

/** Control characters by the letter of their escape sequence. */
const controls: Readonly<Record<string, number>> = { t: 9, n: 10, v: 11, f: 12, r: 13, a: 7, e: 27 };

/** Reads a pattern character by character. */
export class CharacterReader {
  readonly #pattern: string;
  #at = 0;

  constructor(pattern: string) {
    this.#pattern = pattern;
  }

  get atEnd(): boolean {
    return this.#at >= this.#pattern.length;
  }

  /** The next character; "" at the end. */
  get peek(): string {
    const code = this.#pattern.codePointAt(this.#at);
    return code === undefined ? "" : String.fromCodePoint(code);
  }

  get isLetter(): boolean {
    return /^\p{L}$/u.test(this.peek);
  }

  /** The next `n` UTF-16 units, or fewer at the end. */
  next(n: number): string {
    return this.#pattern.slice(this.#at, this.#at + n);
  }

  skip(n: number): void {
    this.#at += n;
  }

  is(text: string): boolean {
    return this.#pattern.startsWith(text, this.#at);
  }

  /** Skips `text` if it comes next. */
  take(text: string): boolean {
    if (!this.is(text)) return false;
    this.#at += text.length;
    return true;
  }

  /** Skips what matches next, and returns the match. */
  match(sticky: RegExp): RegExpExecArray | undefined {
    sticky.lastIndex = this.#at;
    const found = sticky.exec(this.#pattern);
    if (found === null) return undefined;
    this.#at += found[0].length;
    return found;
  }

  /** Skips all up to `text`, and it. */
  until(text: string): void {
    const at = this.#pattern.indexOf(text, this.#at);
    if (at < 0) throw new PatternSyntaxError(`a missing ${text}`);
    this.#at = at + text.length;
  }

  nextCharacter(): number {
    const code = this.#pattern.codePointAt(this.#at);
    if (code === undefined) throw new PatternSyntaxError("an unexpected end");
    this.#at += code > 0xffff ? 2 : 1;
    return code;
  }

  /** A character that is written as an escape sequence. */
  escapedCharacter(): number {
    const octal = this.match(/\\0([0-7]{0,2})/y);
    if (octal !== undefined) return Number.parseInt(`0${octal[1]}`, 8);
    const hexadecimal =
      this.match(/\\x\{([\da-fA-F]{1,8})\}/y) ??
      this.match(/\\x([0-7]?[\da-fA-F])(?![\da-fA-F])/y) ??
      this.match(/\\u([\da-fA-F]{4})/y);
    if (hexadecimal !== undefined) {
      const code = Number.parseInt(hexadecimal[1] ?? "", 16);
      if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) throw new PatternSyntaxError(hexadecimal[0]);
      return code;
    }
    const sequence = this.next(2);
    const letter = sequence[1] ?? "";
    if (/[a-zA-Z\d]/.test(letter)) {
      const code = controls[letter];
      if (code === undefined) throw new PatternSyntaxError(sequence);
      this.skip(2);
      return code;
    }
    this.skip(1);
    return this.nextCharacter();
  }

  /** A quantifier that comes next. */
  quantifier(): Quantifier | undefined {
    const sign = this.match(/[*+?]/y)?.[0];
    if (sign !== undefined) {
      const kind = this.take("?") ? "lazy" : this.take("+") ? "possessive" : "greedy";
      return { least: sign === "+" ? 1 : 0, most: sign === "?" ? 1 : undefined, kind };
    }
    const range = this.match(/\{(\d{1,6})?(,)?(\d{1,6})?\}/y);
    if (range === undefined) return undefined;
    const [all, least, comma, most = comma === undefined ? least : undefined] = range;
    if (least === undefined && most === undefined) {
      // Characters, not a quantifier.
      this.skip(-all.length);
      return undefined;
    }
    const limits = { least: Number(least ?? 0), most: most === undefined ? undefined : Number(most) };
    if (limits.most !== undefined && limits.least > limits.most) throw new PatternSyntaxError(all);
    // What follows an exact number is a quantifier of its own.
    return { ...limits, kind: comma !== undefined && this.take("?") ? "lazy" : "greedy" };
  }
}
