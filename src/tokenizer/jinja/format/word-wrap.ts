import { valueError } from "../errors.ts";
import { characters, splitLines, strip } from "../strings/text.ts";

/** Words, hyphenated parts and white space (the pattern of Python's `textwrap`). */
const chunks =
  /([\t\n\v\f\r ]+|(?<=[\w!"'&.,?])-{2,}(?=\w)|[^\t\n\v\f\r ]+?(?:-(?:(?<=[^\d\W]{2}-)|(?<=[^\d\W]-[^\d\W]-))(?=[^\d\W]-?[^\d\W])|(?=[\t\n\v\f\r ]|$)|(?<=[\w!"'&.,?])(?=-{2,}\w)))/;
const plainChunks = /([\t\n\v\f\r ]+)/;

/** Lines of at most `width` characters; each line of the text is wrapped by itself. */
export function wrapText(text: string, width: number, breaksWords: boolean, onHyphens: boolean): string[] {
  if (text !== "" && width <= 0) throw valueError(`invalid width ${width} (must be > 0)`);
  return splitLines(text).flatMap((line) => {
    const wrapped = wrapLine(line, width, breaksWords, onHyphens);
    return wrapped.length === 0 ? [""] : wrapped;
  });
}

/** A word or white space, of which the characters before `from` are on lines already. */
interface Chunk {
  readonly all: readonly string[];
  from: number;
}

const restOf = ({ all, from }: Chunk, end = all.length) => all.slice(from, end).join("");

function wrapLine(text: string, width: number, breaksWords: boolean, onHyphens: boolean): string[] {
  const rest: Chunk[] = text
    .split(onHyphens ? chunks : plainChunks)
    .filter((chunk) => chunk !== "")
    .map((chunk) => ({ all: characters(chunk), from: 0 }))
    .reverse();
  const lines: string[] = [];
  while (rest.length > 0) {
    const line: string[] = [];
    let length = 0;
    if (lines.length > 0 && isBlank(rest.at(-1))) rest.pop();
    let next = rest.at(-1);
    for (; next !== undefined; next = rest.at(-1)) {
      const nNext = next.all.length - next.from;
      if (length + nNext > width) break;
      line.push(restOf(next));
      length += nNext;
      rest.pop();
    }
    if (next !== undefined && next.all.length - next.from > width) {
      if (breaksWords) {
        // A word may have as many lines as characters, so only those of this line are touched.
        const end = next.from + lengthOfPart(next, width - length, onHyphens);
        line.push(restOf(next, end));
        next.from = end;
      } else if (line.length === 0) {
        line.push(restOf(next));
        rest.pop();
      }
    }
    if (line.length > 0 && strip(line.at(-1) ?? "", undefined) === "") line.pop();
    if (line.length > 0) lines.push(line.join(""));
  }
  return lines;
}

function isBlank(chunk: Chunk | undefined): boolean {
  if (chunk === undefined) return true;
  for (let i = chunk.from; i < chunk.all.length; i++) if (strip(chunk.all[i] ?? "", undefined) !== "") return false;
  return true;
}

/** Characters of a word that is too long on a line with `space` for it: up to a hyphen after something else, if any. */
function lengthOfPart({ all, from }: Chunk, space: number, onHyphens: boolean): number {
  const part = all.slice(from, from + space);
  const hyphen = onHyphens ? part.lastIndexOf("-") : -1;
  return hyphen > 0 && part.slice(0, hyphen).some((character) => character !== "-") ? hyphen + 1 : space;
}
