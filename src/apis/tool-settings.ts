import type { MessageFormat, Tool } from "../answer/types.ts";
import { shown, wrongKey } from "../engine/request/request-values.ts";
import type { GenerateRequest } from "../engine/types.ts";
import type { Body } from "./body.ts";

/** How an answer is read; tools that must not be called are left out. */
export function toolFormat(asked: Omit<MessageFormat, "reasoning">): MessageFormat {
  const isWithout = asked.toolChoice === "none" || asked.tools.length === 0;
  return { ...asked, ...(isWithout && { tools: [], toolChoice: "none" }), reasoning: true };
}

/** The setting that shows tools to the model; without tools none. */
export function toolSettings(tools: readonly Tool[]): Pick<GenerateRequest, "tools"> {
  return tools.length === 0 ? {} : { tools: tools.map(({ strict: _, ...tool }) => tool) };
}

/** The function that a tool is: its `name`, `description` and `parameters`. @throws IdlmError "usage" with the path. */
export function readFunction(definition: Body): Omit<Tool, "strict"> {
  const name = definition.string("name");
  if (name === undefined || name === "") throw wrongKey(definition.at("name"), "expected the name of the function");
  const parameters = definition.take("parameters");
  if (parameters !== undefined && (typeof parameters !== "object" || Array.isArray(parameters))) {
    throw wrongKey(definition.at("parameters"), `expected a JSON schema, found ${shown(parameters)}`);
  }
  return { name, description: definition.string("description"), parameters: parameters as Tool["parameters"] };
}

/** The name of the tool that a choice names. @throws IdlmError "usage" if there is no such tool. */
export function namedTool(choice: Body, tools: readonly Tool[]): string {
  const name = choice.string("name");
  if (name !== undefined && tools.some((tool) => tool.name === name)) return name;
  throw wrongKey(choice.at("name"), `expected the name of one of the tools, found ${shown(name)}`);
}
