const never = () => false;

/** Keys of other servers that constrain an answer, for `refuseUnsupported`. */
export const otherGrammarKeys = {
  ...{ response_format: isText, structured_outputs: never, grammar: never, json_schema: never, regex: never },
  ...{ guided_json: never, guided_regex: never, guided_choice: never, guided_grammar: never, ebnf: never },
};

function isText(value: unknown): boolean {
  return (value as { readonly type?: unknown } | null)?.type === "text";
}
