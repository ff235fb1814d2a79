/**
 * Python strings: sequences of code points, with Python's white space and line ends.
 */
/** Python's `str.isspace`, inside brackets. */
export const SPACES = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
export const SPACE_CLASS = `[${SPACES}]`;
const leading = new RegExp(`^${SPACE_CLASS}+`);
const trailing = new RegExp(`${SPACE_CLASS}+$`);
export const spaces = new RegExp(`${SPACE_CLASS}+`, "g");
const surrogate = /[\ud800-\udfff]/;

/** Whether UTF-16 units are the code points. */
export function isSimple(text: string): boolean {
  return !surrogate.test(text);
}

/** Code points. */
export function characters(text: string): readonly string[] {
  return isSimple(text) ? text.split("") : Array.from(text);
}

export function lengthOf(text: string): number {
  return isSimple(text) ? text.length : Array.from(text).length;
}

/** `str.strip` and its halves; `chars`: a set of characters, white space by default. */
export function strip(text: string, chars: string | undefined, side: "both" | "left" | "right" = "both"): string {
  if (chars === undefined) {
    const left = side === "right" ? text : text.replace(leading, "");
    return side === "left" ? left : trimEnd(left);
  }
  const set = new Set(Array.from(chars));
  const all = characters(text);
  let start = 0;
  let end = all.length;
  if (side !== "right") while (start < end && set.has(all[start] as string)) start++;
  if (side !== "left") while (end > start && set.has(all[end - 1] as string)) end--;
  return all.slice(start, end).join("");
}

/** Without a regular expression on a long text: `\s+$` takes quadratic time on a text of spaces. */
function trimEnd(text: string): string {
  let end = text.length;
  while (end > 0 && trailing.test(text[end - 1] as string)) end--;
  return text.slice(0, end);
}

/** `str.splitlines`: all line ends that Python knows. */
export function splitLines(text: string, keepEnds = false): string[] {
  const lines: string[] = [];
  // biome-ignore lint/suspicious/noControlCharactersInRegex: Python counts them as line ends
  const pattern = /\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]/g;
  let start = 0;
  for (const match of text.matchAll(pattern)) {
    lines.push(text.slice(start, keepEnds ? match.index + match[0].length : match.index));
    start = match.index + match[0].length;
  }
  if (start < text.length) lines.push(text.slice(start));
  return lines;
}

/** Order of code points, not of UTF-16 units. */
export function compareTexts(a: string, b: string): number {
  if (isSimple(a) && isSimple(b)) return a < b ? -1 : a > b ? 1 : 0;
  const [x, y] = [Array.from(a), Array.from(b)];
  for (let i = 0; i < Math.min(x.length, y.length); i++) {
    const difference = (x[i]?.codePointAt(0) ?? 0) - (y[i]?.codePointAt(0) ?? 0);
    if (difference !== 0) return difference;
  }
  return x.length - y.length;
}

const simpleEscapes: Readonly<Record<string, string>> = {
  "\n": "",
  "\\": "\\",
  "'": "'",
  '"': '"',
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
};
const escapeSequence = /\\(?:([0-7]{1,3})|x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})|([\s\S]))/g;

/** A string literal's value (Python's unicode-escape); undefined for an incomplete escape. */
export function unescapeLiteral(literal: string): string | undefined {
  let isWrong = false;
  const value = literal.replace(escapeSequence, (all, octal, x, u, long, other: string | undefined) => {
    if (other !== undefined) {
      if (other === "x" || other === "u" || other === "U" || other === "N") isWrong = true;
      return simpleEscapes[other] ?? all;
    }
    const code = Number.parseInt(octal ?? x ?? u ?? long, octal === undefined ? 16 : 8);
    if (code > 0x10ffff) {
      isWrong = true;
      return all;
    }
    return String.fromCodePoint(code);
  });
  return isWrong ? undefined : value;
}

const unprintable = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}\p{Zs}]/u;

export function isPrintable(character: string): boolean {
  return character === " " || !unprintable.test(character);
}

function escapeCode(code: number): string {
  if (code < 0x100) return `\\x${code.toString(16).padStart(2, "0")}`;
  return code < 0x10000 ? `\\u${code.toString(16).padStart(4, "0")}` : `\\U${code.toString(16).padStart(8, "0")}`;
}

/** What `ascii` makes of a `repr`. */
export function escapeNonAscii(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: ASCII begins with control characters
  return text.replace(/[^\x00-\x7f]/gu, (character) => escapeCode(character.codePointAt(0) ?? 0));
}

/** Python's `repr` of a text. */
export function quoted(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  let result = quote;
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    if (character === quote || character === "\\") result += `\\${character}`;
    else if (character === "\n") result += "\\n";
    else if (character === "\r") result += "\\r";
    else if (character === "\t") result += "\\t";
    else if (code >= 0x20 && code < 0x7f) result += character;
    else if (isPrintable(character)) result += character;
    else result += escapeCode(code);
  }
  return result + quote;
}

const escapes: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&#34;",
  "'": "&#39;",
};

/** `markupsafe.escape` */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => escapes[character] ?? character);
}
