import { TemplateError, valueError } from "../errors.ts";
import { escapeHtml, spaces, strip } from "../strings/text.ts";
import { Dict, isIterable, listOf, type Runtime, Tuple, Undefined, type Value } from "../values/index.ts";
import { type Filter, filter, flag, textArgument, textFilter } from "./filter.ts";

const entities: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0" };

function stripTags(text: string): string {
  let plain = text;
  for (const [open, close] of [
    ["<!--", "-->"],
    ["<", ">"],
  ] as const) {
    let at = 0;
    let kept = "";
    for (;;) {
      const start = plain.indexOf(open, at);
      const end = start < 0 ? -1 : plain.indexOf(close, start);
      if (end < 0) break;
      kept += plain.slice(at, start);
      at = end + close.length;
    }
    plain = kept + plain.slice(at);
  }
  const joined = strip(plain, undefined).replace(spaces, " ");
  return joined.replace(/&(?:#(\d+)|#[xX]([\da-fA-F]+)|(\w+));/g, (all, decimal, hex, name) => {
    if (name !== undefined) return entities[name] ?? all;
    const code = Number.parseInt(decimal ?? hex, decimal === undefined ? 16 : 10);
    return code <= 0x10ffff ? String.fromCodePoint(code) : all;
  });
}

function urlQuote(value: Value, isQuery: boolean, runtime: Runtime): string {
  const quoted = encodeURIComponent(runtime.str(value).toWellFormed())
    .replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll("%2F", isQuery ? "%2F" : "/");
  return isQuery ? quoted.replaceAll("%20", "+") : quoted;
}

function urlEncode(value: Value, runtime: Runtime): string {
  if (typeof value === "string" || !isIterable(value)) return urlQuote(value, false, runtime);
  const items = value instanceof Dict ? [...value.entries].map((entry) => new Tuple(entry)) : listOf(value, runtime);
  return items
    .map((item) => {
      const [key, part, ...more] = listOf(item, runtime);
      if (key === undefined || part === undefined || more.length > 0) throw valueError("expected pairs to unpack");
      return `${urlQuote(key, true, runtime)}=${urlQuote(part, true, runtime)}`;
    })
    .join("&");
}

function xmlAttributes(value: Value | undefined, hasSpace: boolean, runtime: Runtime): string {
  if (value instanceof Undefined) throw value.error;
  if (!(value instanceof Dict)) throw new TemplateError("AttributeError", "xmlattr needs a mapping");
  const items: string[] = [];
  for (const [key, part] of value.entries) {
    if (part === null || part instanceof Undefined) continue;
    const name = textArgument(key, "attribute name");
    if (/[ \t\n\r\f\v/>=]/.test(name)) throw valueError(`Invalid character in attribute name: ${runtime.repr(name)}`);
    items.push(`${escapeHtml(name)}="${escapeHtml(runtime.str(part))}"`);
  }
  return items.length > 0 && hasSpace ? ` ${items.join(" ")}` : items.join(" ");
}

const escapeFilter = filter("s /", ([value = null], runtime) => escapeHtml(runtime.str(value)));

/** Filters for HTML, XML and URLs. */
export const markupFilters: Readonly<Record<string, Filter>> = {
  e: escapeFilter,
  escape: escapeFilter,
  forceescape: escapeFilter,
  safe: textFilter("", (text) => text),
  striptags: textFilter("", (text) => stripTags(text)),
  urlencode: filter("value", ([value = null], runtime) => urlEncode(value, runtime)),
  xmlattr: filter("d autospace?", ([value, autospace], runtime) =>
    xmlAttributes(value, flag(autospace, true), runtime),
  ),
};
