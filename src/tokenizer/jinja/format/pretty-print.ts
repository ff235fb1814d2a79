import { compareTexts, lengthOf, SPACES, splitLines } from "../strings/text.ts";
import { compare } from "../values/operators.ts";
import { Dict, isNumber, type Runtime, Tuple, typeName, type Value } from "../values/index.ts";

const WIDTH = 80;
/** A word with the white space behind it. */
const word = new RegExp(`[^${SPACES}]*[${SPACES}]*`, "g");

/** Python's `pprint.pformat`: sorted keys, and an item a line where a line would be longer than 80 characters. */
export function prettyPrint(value: Value, runtime: Runtime): string {
  return new PrettyPrinter(runtime).format(sortKeys(value, runtime), 0, 0, true);
}

function sortKeys(value: Value, runtime: Runtime): Value {
  if (Array.isArray(value)) return value.map((item) => sortKeys(item, runtime));
  if (value instanceof Tuple) return new Tuple(value.items.map((item) => sortKeys(item, runtime)));
  if (!(value instanceof Dict)) return value;
  const entries = [...value.entries].map(([key, part]): [Value, Value] => [key, sortKeys(part, runtime)]);
  entries.sort(([a], [b]) => {
    const isComparable = (typeof a === "string" && typeof b === "string") || (isNumber(a) && isNumber(b));
    return isComparable ? compare(a, b, "<", runtime) : compareTexts(typeName(a), typeName(b));
  });
  return new Dict(entries);
}

/** `indent`: the column where a value begins; `allowance`: characters that follow it in its last line. */
class PrettyPrinter {
  readonly #runtime: Runtime;

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  format(value: Value, indent: number, allowance: number, isOutermost: boolean): string {
    const shown = this.#runtime.repr(value);
    if (lengthOf(shown) <= WIDTH - indent - allowance) return shown;
    if (typeof value === "string") return this.#text(value, indent, allowance, isOutermost);
    if (Array.isArray(value)) return `[${this.#items(value, indent + 1, allowance + 1)}]`;
    if (value instanceof Tuple) {
      const end = value.items.length === 1 ? ",)" : ")";
      return `(${this.#items(value.items, indent + 1, allowance + end.length)}${end}`;
    }
    return value instanceof Dict ? `{${this.#entries(value, indent + 1, allowance + 1)}}` : shown;
  }

  #items(items: readonly Value[], indent: number, allowance: number): string {
    const lines = items.map((item, i) => this.format(item, indent, i === items.length - 1 ? allowance : 1, false));
    return this.#lines(lines, ",", indent);
  }

  #entries(dict: Dict, indent: number, allowance: number): string {
    const entries = [...dict.entries];
    const lines = entries.map(([key, value], i) => {
      const start = `${this.#runtime.repr(key)}: `;
      return start + this.format(value, indent + lengthOf(start), i === entries.length - 1 ? allowance : 1, false);
    });
    return this.#lines(lines, ",", indent);
  }

  #lines(lines: readonly string[], separator: string, indent: number): string {
    this.#runtime.budget.spend(lines.length * indent);
    return lines.join(`${separator}\n${" ".repeat(indent)}`);
  }

  /** A long text: its lines, each cut between words, as adjacent literals. */
  #text(text: string, start: number, following: number, isOutermost: boolean): string {
    const [indent, allowance] = isOutermost ? [start + 1, following + 1] : [start, following];
    const width = WIDTH - indent;
    const fits = (part: string, room: number) => lengthOf(this.#runtime.repr(part)) <= room;
    const lines = splitLines(text, true);
    const chunks = lines.flatMap((line, i) => {
      const rest = i === lines.length - 1 ? width - allowance : width;
      return fits(line, rest) ? [line] : this.#words(line, width, rest, fits);
    });
    const literals = chunks.map((chunk) => this.#runtime.repr(chunk));
    if (literals.length === 1) return this.#runtime.repr(lines.at(-1) ?? "");
    const joined = this.#lines(literals, "", indent);
    return isOutermost ? `(${joined})` : joined;
  }

  #words(line: string, width: number, lastWidth: number, fits: (part: string, room: number) => boolean): string[] {
    const parts = line.match(word)?.filter((part) => part !== "") ?? [];
    const chunks: string[] = [];
    let current = "";
    for (const [i, part] of parts.entries()) {
      if (fits(current + part, i === parts.length - 1 ? lastWidth : width)) current += part;
      else {
        if (current !== "") chunks.push(current);
        current = part;
      }
    }
    if (current !== "") chunks.push(current);
    return chunks;
  }
}
