/** Oniguruma's `\w`, `\s` and `\d` (Unicode), as the inside of a JavaScript class. */
const WORD = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}";
const inside: Readonly<Record<string, string>> = {
  w: WORD,
  s: "\\p{White_Space}",
  S: "\\P{White_Space}",
  d: "\\p{Nd}",
  D: "\\P{Nd}",
};
const outside: Readonly<Record<string, string>> = {
  w: `[${WORD}]`,
  W: `[^${WORD}]`,
  s: "\\p{White_Space}",
  S: "\\P{White_Space}",
  d: "\\p{Nd}",
  D: "\\P{Nd}",
  b: `(?:(?<=[${WORD}])(?![${WORD}])|(?<![${WORD}])(?=[${WORD}]))`,
  B: `(?:(?<=[${WORD}])(?=[${WORD}])|(?<![${WORD}])(?![${WORD}]))`,
};
const escapeSequence = /\\(?:[pP]\{[^}]*\}|u[\da-fA-F]{4}|x[\da-fA-F]{2}|[\s\S])/y;

/**
 * A pattern of a tokenizer.json (Oniguruma) as a JavaScript pattern with the flag `u`, whose classes are Unicode's. What
 * JavaScript does not know is left as it is, and refused when the pattern is compiled.
 */
export function translatePattern(pattern: string): string {
  let result = "";
  for (let at = 0; at < pattern.length; ) {
    if (pattern[at] === "[") {
      const end = classEnd(pattern, at);
      result += translateClass(pattern.slice(at + 1, end));
      at = end + 1;
      continue;
    }
    const text = next(pattern, at);
    result += text.length === 2 && text[0] === "\\" ? (outside[text[1] as string] ?? text) : text;
    at += text.length;
  }
  return result;
}

/** An escape sequence, or one character. */
function next(pattern: string, at: number): string {
  escapeSequence.lastIndex = at;
  return escapeSequence.exec(pattern)?.[0] ?? (pattern[at] as string);
}

/** The index of the bracket that closes a class; a bracket that comes first does not. */
function classEnd(pattern: string, start: number): number {
  let at = start + 1;
  if (pattern[at] === "^") at++;
  if (pattern[at] === "]") at++;
  while (at < pattern.length && pattern[at] !== "]") at += next(pattern, at).length;
  return at;
}

/** `content`: between the brackets. A `\W` in a class has to stand beside the class. */
function translateClass(content: string): string {
  const isNegated = content.startsWith("^");
  let rest = "";
  let hasNonWord = false;
  for (let at = isNegated ? 1 : 0; at < content.length; ) {
    const text = next(content, at);
    at += text.length;
    if (text === "\\W") hasNonWord = true;
    else if (text === "]") rest += "\\]";
    else rest += text.length === 2 && text[0] === "\\" ? (inside[text[1] as string] ?? text) : text;
  }
  if (!hasNonWord) return `[${isNegated ? "^" : ""}${rest}]`;
  if (isNegated) return `(?:(?![^${WORD}])${rest === "" ? "[\\s\\S]" : `[^${rest}]`})`;
  return rest === "" ? `[^${WORD}]` : `(?:[${rest}]|[^${WORD}])`;
}
