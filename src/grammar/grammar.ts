import { compile, type Program } from "./automaton/program.ts";
import { choice, type Grammar, rule, text } from "./expression.ts";
import { parseGbnf } from "./languages/gbnf.ts";
import { parseRegex } from "./languages/regex.ts";
import { grammarProblem, shown } from "./problem.ts";
import { grammarOfSchema } from "./schema/json-schema.ts";
import { ANY_OBJECT, valueRules } from "./schema/json-text.ts";
import { grammarOfTools, type ToolGrammarRequest } from "./tool-calls.ts";

/** What a completion has to look like. */
export type GrammarRequest =
  /** A JSON object. */
  | { readonly kind: "json" }
  /** A JSON value of a schema, in one line. docs/grammars.md lists the keywords. */
  | { readonly kind: "schema"; readonly schema: unknown }
  /** A text that a regular expression (ECMAScript, flag u) matches as a whole. */
  | { readonly kind: "regex"; readonly pattern: string }
  /** A text of the rule root of an EBNF, as llama.cpp has it (GBNF). */
  | { readonly kind: "ebnf"; readonly grammar: string }
  /** One of these texts. */
  | { readonly kind: "choice"; readonly choices: readonly string[] }
  /** Calls of tools, as the chat template has them; `text`: what may stand in place of them, by default any text. */
  | ({ readonly kind: "tools"; readonly text?: GrammarRequest | undefined } & ToolGrammarRequest);

/** Characters of all choices. */
const MAX_CHOICES = 250_000;

/** The key of a request that holds its grammar. */
const values = {
  json: "kind",
  schema: "schema",
  regex: "pattern",
  ebnf: "grammar",
  choice: "choices",
  tools: "",
} as const;

/** @throws IdlmError "usage", naming what is wrong at `path`, that of the request, or not supported. */
export function grammarOf(request: GrammarRequest, path: string): Grammar {
  if (!Object.hasOwn(values, request.kind)) {
    throw grammarProblem(
      `${path}.kind`,
      `expected one of ${Object.keys(values).join(", ")}, found ${shown(request.kind)}`,
    );
  }
  const name = values[request.kind];
  const at = name === "" ? path : `${path}.${name}`;
  switch (request.kind) {
    case "json":
      return { root: rule(ANY_OBJECT), rules: valueRules };
    case "schema":
      return grammarOfSchema(request.schema, at);
    case "regex":
      if (typeof request.pattern !== "string") throw grammarProblem(at, "expected a string");
      return { root: parseRegex(request.pattern, { path: at }), rules: new Map() };
    case "ebnf":
      if (typeof request.grammar !== "string") throw grammarProblem(at, "expected a string");
      return parseGbnf(request.grammar, at);
    case "choice":
      return grammarOfChoices(request.choices, at);
    case "tools":
      return grammarOfTools(
        request,
        path,
        request.text === undefined ? undefined : grammarOf(request.text, `${path}.text`),
      );
  }
}

function grammarOfChoices(choices: readonly unknown[], path: string): Grammar {
  if (!Array.isArray(choices) || choices.length === 0)
    throw grammarProblem(path, "expected a list of at least one string");
  let nCharacters = 0;
  const parts = choices.map((one: unknown, i) => {
    if (typeof one !== "string" || one === "")
      throw grammarProblem(`${path}[${i}]`, "expected a string that is not empty");
    nCharacters += one.length;
    if (nCharacters > MAX_CHOICES) throw grammarProblem(path, `they have more than ${MAX_CHOICES} characters`);
    return text(one);
  });
  return { root: choice(...parts), rules: new Map() };
}

/** Compiles a grammar. @throws IdlmError "usage", naming what is wrong at `path`. */
export function programOf(request: GrammarRequest, path: string): Program {
  try {
    return compile(grammarOf(request, path), path);
  } catch (error) {
    // Constants are written recursively.
    if (error instanceof RangeError) throw grammarProblem(path, "it is nested too deep");
    throw error;
  }
}
