import { TemplateError } from "../errors.ts";
import { capitalize, lower } from "../strings/letter-case.ts";
import { formatMarkup } from "../strings/markup.ts";
import { lengthOrError } from "../values/operators.ts";
import { percentFormat } from "../format/percent-format.ts";
import type { Bound } from "../values/signature.ts";
import { center, replaceText } from "../strings/string-methods.ts";
import { characters, lengthOf, SPACES, splitLines, strip } from "../strings/text.ts";
import { Dict, Markup, type Runtime, smallInteger, Tuple, type Value } from "../values/index.ts";
import { wrapText } from "../format/word-wrap.ts";
import { argumentError, type Filter, filter, flag, free, textArgument, textFilter, textValue } from "./filter.ts";

/** `" " * n` */
function blanks(n: number, runtime: Runtime): string {
  runtime.budget.spend(Math.max(0, n));
  return " ".repeat(Math.max(0, n));
}

function indent([value, width = 4n, first, blank]: Bound, runtime: Runtime): string {
  const indention = typeof width === "string" ? width : blanks(smallInteger(width), runtime);
  const lines = splitLines(`${textValue(value)}\n`);
  runtime.budget.spend(textValue(value).length + lines.length * indention.length);
  const rest = lines.slice(1).map((line) => (line !== "" || flag(blank) ? indention + line : line));
  const result = [lines[0] ?? "", ...rest].join("\n");
  return flag(first) ? indention + result : result;
}

function truncate([value = null, lengthValue = 255n, killWords, end = "...", leewayValue = 5n]: Bound): Value {
  const [length, leeway] = [smallInteger(lengthValue), smallInteger(leewayValue ?? 5n)];
  const ending = textArgument(end, "end");
  if (length < lengthOf(ending))
    throw new TemplateError("RuntimeError", `expected length >= ${lengthOf(ending)}, got ${length}`);
  if (leeway < 0) throw new TemplateError("RuntimeError", `expected leeway >= 0, got ${leeway}`);
  if (lengthOrError(value) <= length + leeway) return value;
  const cut = characters(textValue(value))
    .slice(0, length - lengthOf(ending))
    .join("");
  if (flag(killWords)) return cut + ending;
  const space = cut.lastIndexOf(" ");
  return (space < 0 ? cut : cut.slice(0, space)) + ending;
}

const wordBreaks = new RegExp(`([-({[<${SPACES}]+)`);

function titleWords(text: string): string {
  return text
    .split(wordBreaks)
    .map((word) => {
      const [head = "", ...tail] = characters(word);
      return head.toUpperCase() + lower(tail.join(""));
    })
    .join("");
}

/** Filters of strings. */
export const textFilters: Readonly<Record<string, Filter>> = {
  capitalize: textFilter("", (text) => capitalize(text)),
  center: filter("value width?", ([value = null, width = 80n], runtime) => center(runtime.str(value), width, runtime)),
  format: free((value, { positional, named }, runtime) => {
    if (positional.length > 0 && named.size > 0) {
      throw argumentError("can't handle positional and keyword arguments at the same time");
    }
    const values = named.size > 0 ? new Dict(named) : new Tuple(positional);
    if (value instanceof Markup) return formatMarkup(value.text, values, runtime);
    return percentFormat(runtime.str(value), values, runtime);
  }),
  indent: filter("s width? first? blank?", indent),
  lower: textFilter("", (text) => lower(text)),
  replace: textFilter("old new count?", (text, [old = null, replacement = null, count = null], runtime) =>
    replaceText(text, runtime.str(old), runtime.str(replacement), count === null ? -1 : smallInteger(count), runtime),
  ),
  string: textFilter("", (text) => text),
  title: textFilter("", (text) => titleWords(text)),
  trim: textFilter("chars?", (text, [chars = null]) =>
    strip(text, chars === null ? undefined : textArgument(chars, "strip arg")),
  ),
  truncate: filter("s length? killwords? end? leeway?", truncate),
  upper: textFilter("", (text) => text.toUpperCase()),
  wordcount: textFilter("", (text) => BigInt(text.match(/[\p{L}\p{N}_]+/gu)?.length ?? 0)),
  wordwrap: filter(
    "s width? break_long_words? wrapstring? break_on_hyphens?",
    ([value, width = 79n, breaksWords, glue = null, onHyphens]) =>
      wrapText(textValue(value), smallInteger(width), flag(breaksWords, true), flag(onHyphens, true)).join(
        glue === null ? "\n" : textValue(glue),
      ),
  ),
};
