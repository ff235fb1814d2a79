import { valueError } from "../errors.ts";
import { characters, lengthOf, splitLines, strip } from "../strings/text.ts";

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

function wrapLine(text: string, width: number, breaksWords: boolean, onHyphens: boolean): string[] {
  const rest = text
    .split(onHyphens ? chunks : plainChunks)
    .filter((chunk) => chunk !== "")
    .reverse();
  const lines: string[] = [];
  while (rest.length > 0) {
    const line: string[] = [];
    let length = 0;
    if (lines.length > 0 && strip(rest.at(-1) ?? "", undefined) === "") rest.pop();
    while (rest.length > 0) {
      const next = rest.at(-1) ?? "";
      if (length + lengthOf(next) > width) break;
      line.push(next);
      length += lengthOf(next);
      rest.pop();
    }
    const long = characters(rest.at(-1) ?? "");
    if (long.length > width) {
      const space = width - length;
      if (breaksWords) {
        const hyphen = onHyphens && space > 0 ? long.lastIndexOf("-", space - 1) : -1;
        const end = hyphen > 0 && long.slice(0, hyphen).some((part) => part !== "-") ? hyphen + 1 : space;
        line.push(long.slice(0, end).join(""));
        rest[rest.length - 1] = long.slice(end).join("");
      } else if (line.length === 0) {
        line.push(long.join(""));
        rest.pop();
      }
    }
    if (line.length > 0 && strip(line.at(-1) ?? "", undefined) === "") line.pop();
    if (line.length > 0) lines.push(line.join(""));
  }
  return lines;
}
