import { wrongKey } from "../engine/request/request-values.ts";
import type { GenerateRequest } from "../engine/types.ts";

/** What constrains an answer. */
export type ApiGrammar =
  | { readonly kind: "json" }
  | { readonly kind: "schema"; readonly schema: unknown }
  | { readonly kind: "ebnf"; readonly grammar: string };

/** Settings that constrain an answer. `path` of the key that asks for it. */
export function grammarSettings(path: string, grammar: ApiGrammar | undefined): GenerateRequest {
  if (grammar === undefined) return {};
  throw wrongKey(path, "not supported", "Leave it out.");
}
