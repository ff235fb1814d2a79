import { IdlmError } from "../../errors.ts";
import { kindOf } from "../files/json.ts";
import { quote } from "../files/malformed.ts";

/**
 * What a reader does with a key of a file: it is read; it cannot change the result (`ignored`); or its feature is missing,
 * so that the file is refused unless the key has one of the values that switch the feature off.
 */
export type KeyRule =
  | { readonly use: "read" | "ignored"; readonly note: string }
  | { readonly use: "refused"; readonly unless: readonly unknown[]; readonly note: string };

/** Keys that a reader knows. A name may begin or end with `*`. docs/formats.md lists the same. */
export interface KeyTable {
  readonly file: string;
  readonly keys: Readonly<Record<string, KeyRule>>;
}

export const read = (note: string): KeyRule => ({ use: "read", note });
export const ignored = (note: string): KeyRule => ({ use: "ignored", note });
/** `null` and empty values always switch a feature off. */
export const refused = (note: string, ...unless: readonly unknown[]): KeyRule => ({ use: "refused", unless, note });
/** The same rule for several names. */
export const all = (names: string, rule: KeyRule): Readonly<Record<string, KeyRule>> =>
  Object.fromEntries(names.split(" ").map((name) => [name, rule]));

export function ruleOf({ keys }: KeyTable, key: string): KeyRule | undefined {
  if (Object.hasOwn(keys, key)) return keys[key];
  const pattern = Object.keys(keys).find((name) =>
    name.startsWith("*") ? key.endsWith(name.slice(1)) : name.endsWith("*") && key.startsWith(name.slice(0, -1)),
  );
  return pattern === undefined ? undefined : keys[pattern];
}

/**
 * Checks a file's keys against a table; returns those that it does not know. `nameOf`: the name of a key in the table.
 * @throws IdlmError "unsupported" naming a key whose feature is missing.
 */
export function checkKeys(
  entries: Iterable<readonly [string, unknown]>,
  table: KeyTable,
  path: string,
  nameOf: (key: string) => string = (key) => key,
): string[] {
  const unknown: string[] = [];
  for (const [key, value] of entries) {
    const rule = ruleOf(table, nameOf(key));
    if (rule === undefined) unknown.push(key);
    else if (rule.use === "refused" && !isOff(value) && !rule.unless.includes(value)) {
      const shown = typeof value === "object" ? "" : ` ${kindOf(value)}`;
      throw new IdlmError("unsupported", { path, feature: `${key}${shown}`, hint: `${rule.note}.` });
    }
  }
  return unknown;
}

function isOff(value: unknown): boolean {
  return value === null || value === undefined || (typeof value === "object" && Object.keys(value).length === 0);
}

/** A warning of keys that a reader does not know, for the user to judge; undefined if there are none. */
export function unknownKeysWarning(path: string, keys: readonly string[]): string | undefined {
  if (keys.length === 0) return undefined;
  const shown = keys.slice(0, 10).map((key) => quote(key));
  const more = keys.length > shown.length ? ` and ${keys.length - shown.length} more` : "";
  return `${path}: unknown keys are ignored: ${shown.join(", ")}${more}`;
}
