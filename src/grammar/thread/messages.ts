import type { IdlmErrorData } from "../../errors.ts";
import type { Program } from "../automaton/program.ts";
import type { TokenTexts, TokenTree } from "../vocabulary.ts";

/** What the thread of grammars is asked for. `json`: a GrammarRequest. */
export type GrammarJob =
  | { readonly kind: "grammar"; readonly json: string }
  | { readonly kind: "vocabulary"; readonly texts: TokenTexts };

/** Before the first one the thread sends "ready". */
export type GrammarReply = { readonly value: Program | TokenTree } | { readonly error: IdlmErrorData };
