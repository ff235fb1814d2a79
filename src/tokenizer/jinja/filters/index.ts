import { toJson } from "../format/json.ts";
import { prettyPrint } from "../format/pretty-print.ts";
import { type Bound, bind } from "../values/signature.ts";
import { type CallArguments, Dict, isTrue, Markup, type Runtime, Undefined, type Value } from "../values/index.ts";
import { argumentError, type Filter, filter, flag, free, textArgument } from "./filter.ts";
import { markupFilters } from "./markup.ts";
import { numberFilters } from "./numbers.ts";
import { orderFilters } from "./order.ts";
import { selectionFilters } from "./selection.ts";
import { sequenceFilters } from "./sequences.ts";
import { textFilters } from "./text.ts";

function withDefault([value = null, byDefault = "", boolean]: Bound): Value {
  return value instanceof Undefined || (flag(boolean) && !isTrue(value)) ? byDefault : value;
}

const unsupported = (name: string): Filter =>
  free(() => {
    throw argumentError(`the filter ${name} is not supported`);
  });

/** Jinja2's filters, with transformers' `tojson`. */
export const filters: Readonly<Record<string, Filter>> = {
  ...textFilters,
  ...markupFilters,
  ...numberFilters,
  ...sequenceFilters,
  ...selectionFilters,
  ...orderFilters,
  attr: filter("obj name", ([value = null, name], runtime) => {
    const key = textArgument(name, "attribute name");
    return value instanceof Dict && !["items", "keys", "values", "get", "copy"].includes(key)
      ? new Undefined(`'dict object' has no attribute '${key}'`)
      : runtime.attribute(value, key);
  }),
  d: filter("value default_value? boolean?", withDefault),
  default: filter("value default_value? boolean?", withDefault),
  pprint: filter("value", ([value = null], runtime) => prettyPrint(value, runtime)),
  random: unsupported("random"),
  tojson: filter(
    "x ensure_ascii? indent? separators? sort_keys?",
    ([value = null, ensureAscii = false, indention = null, separators = null, keys = false], runtime) =>
      toJson(value, { ensureAscii, indent: indention, separators, sortKeys: keys }, runtime),
  ),
  urlize: unsupported("urlize"),
};

/** Filters whose text is markup. */
const marking: ReadonlySet<string> = new Set(["e", "escape", "forceescape", "safe"]);
/** Filters that leave markup as it is: it is escaped already. */
const leaving: ReadonlySet<string> = new Set(["e", "escape", "safe", "string"]);
/** Filters whose text is markup if they were given markup. */
const keeping: ReadonlySet<string> = new Set([
  "upper",
  "lower",
  "capitalize",
  "trim",
  "indent",
  "center",
  "truncate",
  "reverse",
  "default",
  "d",
]);

/** Calls a filter. @throws TemplateError. */
export function applyFilter(name: string, found: Filter, value: Value, args: CallArguments, runtime: Runtime): Value {
  if (found.runWith !== undefined) return found.runWith(value, args, runtime);
  const isMarkup = value instanceof Markup;
  const all = { positional: [value, ...args.positional], named: args.named };
  const result = found.signature === undefined ? null : found.run(bind(name, found.signature, all), runtime);
  if (isMarkup && leaving.has(name)) return value;
  return typeof result === "string" && (marking.has(name) || (isMarkup && keeping.has(name)))
    ? new Markup(result)
    : result;
}
