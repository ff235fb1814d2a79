import type { GenerateRequest } from "../engine/types.ts";

/** What constrains an answer. */
export type ApiGrammar = NonNullable<GenerateRequest["grammar"]>;

export function grammarSettings(grammar: ApiGrammar | undefined): Pick<GenerateRequest, "grammar"> {
  return grammar === undefined ? {} : { grammar };
}
