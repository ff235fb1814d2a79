import type { GenerateRequest } from "../engine/types.ts";
import type { KeyNames } from "../errors.ts";

/** What constrains an answer. */
export type ApiGrammar = NonNullable<GenerateRequest["grammar"]>;

export function grammarSettings(grammar: ApiGrammar | undefined): Pick<GenerateRequest, "grammar"> {
  return grammar === undefined ? {} : { grammar };
}

/** Names for errors of a grammar whose schema, pattern, rules or choices are the value at a path. */
export function grammarNames(path: string): KeyNames {
  const inner = ["schema", "pattern", "grammar", "choices"].map((key) => [`grammar.${key}`, path]);
  return { grammar: path, ...Object.fromEntries(inner) };
}
