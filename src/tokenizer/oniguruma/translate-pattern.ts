import { literal, readClass, readClassEscape, wordClass } from "./character-class.ts";
import { CharacterReader, PatternSyntaxError, type Quantifier } from "./character-reader.ts";

/** Published patterns nest three deep. */
const MAX_DEPTH = 64;

const start = "(?<![\\s\\S])";
const end = "(?![\\s\\S])";
const anchors: Readonly<Record<string, string>> = {
  A: start,
  z: end,
  Z: `(?=\\n?${end})`,
  b: `(?:(?<=${wordClass})(?!${wordClass})|(?<!${wordClass})(?=${wordClass}))`,
  B: `(?:(?<=${wordClass})(?=${wordClass})|(?<!${wordClass})(?!${wordClass}))`,
};
const groups = ["(?:", "(?=", "(?!", "(?<=", "(?<!"] as const;

/** A translated part, and whether it can match nothing. */
interface Part {
  readonly text: string;
  readonly isNullable: boolean;
}

/** A part of one character. */
const character = (text: string): Part => ({ text, isNullable: false });
const assertion = (text: string): Part => ({ text, isNullable: true });

/** How the letters of a group match, and whether it is within a lookbehind. */
interface Context {
  readonly foldsCase: boolean;
  readonly isBehind: boolean;
  readonly depth: number;
}

/**
 * A pattern of a tokenizer.json as a JavaScript pattern with the flags `gu` that has the same matches. The library
 * `tokenizers` runs patterns with Oniguruma in its own syntax (https://github.com/kkos/oniguruma/blob/master/doc/RE), whose
 * classes are Unicode's, whose `^` and `$` are those of lines, and in which `{1,3}+` repeats twice.
 * @throws PatternSyntaxError naming what is not supported, like back references.
 */
export function translatePattern(pattern: string): string {
  const reader = new CharacterReader(pattern);
  const translator = new Translator(reader);
  const result = translator.alternatives({ foldsCase: false, isBehind: false, depth: 0 });
  if (!reader.atEnd) throw new PatternSyntaxError("an unmatched )");
  return result.text;
}

class Translator {
  readonly #reader: CharacterReader;
  /** Of atomic groups, each with a name of its own. */
  #nCaptures = 0;

  constructor(reader: CharacterReader) {
    this.#reader = reader;
  }

  /** Up to the end of a group. */
  alternatives(context: Context): Part {
    if (context.depth > MAX_DEPTH) throw new PatternSyntaxError(`more than ${MAX_DEPTH} nested groups`);
    const parts: Part[] = [];
    do parts.push(this.#sequence(context));
    while (this.#reader.take("|"));
    return { text: parts.map(({ text }) => text).join("|"), isNullable: parts.some(({ isNullable }) => isNullable) };
  }

  #sequence(context: Context): Part {
    const parts: Part[] = [];
    let previous = "";
    while (!this.#reader.atEnd && !this.#reader.is("|") && !this.#reader.is(")")) {
      const rest = this.#optionsOfRest(context);
      if (rest !== undefined) {
        parts.push(rest);
        break;
      }
      if (this.#reader.take("(?#")) {
        this.#reader.until(")");
        continue;
      }
      const letter = this.#reader.isLetter ? this.#reader.peek : "";
      if (context.foldsCase) refusePairs(previous + letter);
      previous = letter;
      parts.push(this.#quantified(this.#atom(context), context));
    }
    return { text: parts.map(({ text }) => text).join(""), isNullable: parts.every(({ isNullable }) => isNullable) };
  }

  /** `(?i)` counts for the rest of its group, with the alternatives that follow. */
  #optionsOfRest(context: Context): Part | undefined {
    const foldsCase = this.#reader.take("(?i)") ? true : this.#reader.take("(?-i)") ? false : undefined;
    if (foldsCase === undefined) return undefined;
    return inGroup("(?:", this.alternatives({ ...context, foldsCase, depth: context.depth + 1 }));
  }

  #atom(context: Context): Part {
    const reader = this.#reader;
    for (const group of groups) if (reader.take(group)) return this.#group(group, context);
    if (reader.take("(?i:")) return this.#group("(?:", { ...context, foldsCase: true });
    if (reader.take("(?-i:")) return this.#group("(?:", { ...context, foldsCase: false });
    if (reader.take("(?>")) return this.#atomic(() => this.#rest(context), context);
    if (reader.is("(?") || reader.is("(*")) throw new PatternSyntaxError(`a group with ${reader.next(4)}`);
    // Numbers of groups do not matter without back references.
    if (reader.take("(")) return this.#group("(?:", context);
    if (reader.take("[")) return character(readClass(reader, context.foldsCase));
    if (reader.take(".")) return character("[^\\n]");
    if (reader.take("^")) return assertion(`(?:${start}|(?<=\\n)(?=[\\s\\S]))`);
    if (reader.take("$")) return assertion(`(?=\\n|${end})`);
    if (reader.is("*") || reader.is("+") || reader.is("?")) throw new PatternSyntaxError("a quantifier of nothing");
    if (!reader.is("\\")) return character(literal(reader.nextCharacter(), context.foldsCase));
    const anchor = anchors[reader.next(2)[1] ?? ""];
    if (anchor === undefined) {
      return character(readClassEscape(reader) ?? literal(reader.escapedCharacter(), context.foldsCase));
    }
    reader.skip(2);
    return assertion(anchor);
  }

  #group(opening: (typeof groups)[number], context: Context): Part {
    const isBehind = context.isBehind || opening.startsWith("(?<");
    return inGroup(opening, this.#rest({ ...context, isBehind }));
  }

  /** The content of a group, and its end. */
  #rest(context: Context): Part {
    const content = this.alternatives({ ...context, depth: context.depth + 1 });
    if (!this.#reader.take(")")) throw new PatternSyntaxError("a missing )");
    return content;
  }

  /** JavaScript has no atomic groups, but never goes back into a lookahead. */
  #atomic(read: () => Part, { isBehind }: Context): Part {
    // There, JavaScript matches from right to left.
    if (isBehind) throw new PatternSyntaxError("an atomic group in a lookbehind");
    const name = `a${++this.#nCaptures}`;
    const { text, isNullable } = read();
    return { text: `(?:(?=(?<${name}>${text}))\\k<${name}>)`, isNullable };
  }

  #quantified(atom: Part, context: Context): Part {
    let result = atom;
    for (;;) {
      const quantifier = this.#reader.quantifier();
      if (quantifier === undefined) return result;
      const repeated = repeat(result, quantifier);
      result = quantifier.kind === "possessive" ? this.#atomic(() => repeated, context) : repeated;
    }
  }
}

function inGroup(opening: (typeof groups)[number], { text, isNullable }: Part): Part {
  return { text: `${opening}${text})`, isNullable: opening === "(?:" ? isNullable : true };
}

/** Of what may match nothing, JavaScript takes no round that does, and Oniguruma takes one and ends. */
function repeat({ text, isNullable }: Part, { least, most, kind }: Quantifier): Part {
  const sign = kind === "lazy" ? "?" : "";
  if (isNullable && least === 0 && most === 1) return assertion(sign === "" ? `(?:${text}|)` : `(?:|${text})`);
  if (isNullable && least !== most) throw new PatternSyntaxError("a repetition of what can be empty");
  const times = `{${least},${most ?? ""}}${sign}`;
  return { text: isBare(text) ? text + times : `(?:${text})${times}`, isNullable: isNullable || least === 0 };
}

/** Whether a quantifier can follow: a class, or a character. */
function isBare(atom: string): boolean {
  return /^(?:\[[^\]]*\]|\\u\{[\da-f]+\}|[a-zA-Z0-9])$/.test(atom);
}

/** Letters that match one character when case is ignored, like ß for ss. */
function refusePairs(pair: string): void {
  if (/^(?:ss|st|f[fil])$/i.test(pair)) throw new PatternSyntaxError(`${pair} without regard to case`);
}
