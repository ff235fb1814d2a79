import { shown, wrongKey } from "../../engine/request/request-values.ts";
import type { KeyNames } from "../../errors.ts";
import { Body } from "../body.ts";
import { type ApiGrammar, grammarNames } from "../grammar-settings.ts";

/** A grammar, and the path of the key that asks for it. */
export interface AskedGrammar {
  readonly path: string;
  /** For messages. */
  readonly names: KeyNames;
  readonly grammar: ApiGrammar;
}

type Reader = (value: unknown, path: string) => ApiGrammar;

const schema: Reader = (value, path) => ({
  kind: "schema",
  schema: typeof value === "string" ? parsed(value, path) : value,
});
const regex: Reader = (value, path) => ({ kind: "regex", pattern: textOf(value, path) });
const ebnf: Reader = (value, path) => ({ kind: "ebnf", grammar: textOf(value, path) });
const choice: Reader = (value, path) => {
  if (!Array.isArray(value)) throw wrongKey(path, `expected a list of strings, found ${shown(value)}`);
  return { kind: "choice", choices: value as readonly string[] };
};

/** Keys of vLLM's `structured_outputs`. */
const structured: Readonly<Record<string, Reader>> = {
  ...{ json: schema, regex, choice, grammar: ebnf },
  json_object: () => ({ kind: "json" }),
};

/** Keys of llama.cpp, of vLLM before `structured_outputs`, and of SGLang. */
const others: Readonly<Record<string, Reader>> = {
  ...{ grammar: ebnf, json_schema: schema, regex, ebnf },
  ...{ guided_json: schema, guided_regex: regex, guided_choice: choice, guided_grammar: ebnf },
};

/**
 * Reads what constrains the text: `response_format`, and the keys of other servers. Undefined: nothing does. @throws IdlmError "usage", also if two keys do.
 */
export function readGrammar(body: Body): AskedGrammar | undefined {
  const asked = [readFormat(body), ...readStructured(body), ...readFrom(body, others)];
  const [first, second] = asked.filter((one) => one !== undefined);
  if (second !== undefined) throw wrongKey(second.path, `${first?.path} constrains the text, too`, "Leave one out.");
  return first;
}

function readFrom(body: Body, readers: Readonly<Record<string, Reader>>): AskedGrammar[] {
  return Object.entries(readers).flatMap(([key, read]) => {
    const value = body.take(key);
    // Clients send empty and false values for none.
    if (value === undefined || value === "" || value === false) return [];
    const path = body.at(key);
    return [{ path, names: grammarNames(path), grammar: read(value, path) }];
  });
}

function readStructured(body: Body): AskedGrammar[] {
  const value = body.take("structured_outputs");
  if (value === undefined) return [];
  const outputs = new Body(value, body.at("structured_outputs"), body);
  // White space is fixed: there is none between the values.
  outputs.ignore("disable_any_whitespace", "disable_fallback");
  for (const key of ["structural_tag", "whitespace_pattern"]) outputs.only(key, () => false, "Leave it out.");
  outputs.only("disable_additional_properties", (given) => given === false, "Say additionalProperties in the schema.");
  return readFrom(outputs, structured);
}

function readFormat(body: Body): AskedGrammar | undefined {
  const value = body.take("response_format");
  if (value === undefined) return undefined;
  const format = new Body(value, body.at("response_format"), body);
  const type = format.choice("type", ["text", "json_object", "json_schema"]);
  if (type === undefined) throw wrongKey(format.at("type"), "expected text, json_object or json_schema, found nothing");
  // llama.cpp has the schema beside the type.
  const direct = format.take("schema");
  const described = format.take("json_schema");
  if (type === "text") return undefined;
  if (direct !== undefined) {
    const path = format.at("schema");
    return { path, names: grammarNames(path), grammar: schema(direct, path) };
  }
  const path = format.at("json_schema");
  if (type === "json_object") {
    const path = body.at("response_format");
    return { path, names: { grammar: path }, grammar: { kind: "json" } };
  }
  const definition = new Body(described, path, format);
  definition.ignore("name", "description", "strict");
  const nested = definition.object("schema");
  if (nested === undefined) throw wrongKey(definition.at("schema"), "expected a JSON schema, found nothing");
  return { path, names: { grammar: path }, grammar: { kind: "schema", schema: nested } };
}

function parsed(json: string, path: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    throw wrongKey(path, "expected a JSON schema, found text that is not JSON");
  }
}

function textOf(value: unknown, path: string): string {
  if (typeof value === "string") return value;
  throw wrongKey(path, `expected a string, found ${shown(value)}`);
}
