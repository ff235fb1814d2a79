import type { MessageFormat, Tool } from "../answer/types.ts";
import { shown, wrongKey } from "../engine/request/request-values.ts";
import type { GenerateRequest } from "../engine/types.ts";
import { argumentsGrammar } from "../grammar/tool-calls.ts";
import { limitsCalls } from "../answer/tool-grammar.ts";
import type { Body } from "./body.ts";

/** Characters of all schemas of tools that are looked at in a request: it takes about a millisecond per 10,000. */
const MAX_SCHEMAS = 50_000;

/** How an answer is read; tools that must not be called are left out. */
export function toolFormat(asked: Omit<MessageFormat, "reasoning">): MessageFormat {
  const isWithout = asked.toolChoice === "none" || asked.tools.length === 0;
  return { ...asked, ...(isWithout && { tools: [], toolChoice: "none" }), reasoning: true };
}

/** The setting that shows tools to the model; without tools none. */
export function toolSettings(tools: readonly Tool[]): Pick<GenerateRequest, "tools"> {
  return tools.length === 0 ? {} : { tools: tools.map(({ strict: _, schemaPath: __, ...tool }) => tool) };
}

/**
 * Schemas of tools that are ignored although calls are limited by schemas: that of a tool that is not strict, with a keyword
 * that cannot be enforced. `grammar`: that of the text.
 */
export function ignoredSchemas(format: MessageFormat | undefined, grammar: GenerateRequest["grammar"]): string[] {
  if (format === undefined || !limitsCalls(grammar, format)) return [];
  const named = typeof format.toolChoice === "object" ? format.toolChoice.name : undefined;
  let nCharacters = 0;
  return format.tools.flatMap(({ name, parameters, strict, schemaPath }) => {
    if (strict || parameters === undefined || schemaPath === undefined || name !== (named ?? name)) return [];
    nCharacters += JSON.stringify(parameters).length;
    return nCharacters > MAX_SCHEMAS || isEnforced(parameters, schemaPath) ? [] : [schemaPath];
  });
}

function isEnforced(parameters: Tool["parameters"], path: string): boolean {
  try {
    argumentsGrammar(parameters, path);
    return true;
  } catch {
    return false;
  }
}

/** The function that a tool is: its `name`, `description` and `parameters`. @throws IdlmError "usage" with the path. */
export function readFunction(definition: Body): Omit<Tool, "strict"> {
  const name = definition.string("name");
  if (name === undefined || name === "") throw wrongKey(definition.at("name"), "expected the name of the function");
  const parameters = definition.take("parameters");
  if (parameters !== undefined && (typeof parameters !== "object" || Array.isArray(parameters))) {
    throw wrongKey(definition.at("parameters"), `expected a JSON schema, found ${shown(parameters)}`);
  }
  return {
    ...{ name, description: definition.string("description"), parameters: parameters as Tool["parameters"] },
    schemaPath: definition.at("parameters"),
  };
}

/** The name of the tool that a choice names. @throws IdlmError "usage" if there is no such tool. */
export function namedTool(choice: Body, tools: readonly Tool[]): string {
  const name = choice.string("name");
  if (name !== undefined && tools.some((tool) => tool.name === name)) return name;
  throw wrongKey(choice.at("name"), `expected the name of one of the tools, found ${shown(name)}`);
}
