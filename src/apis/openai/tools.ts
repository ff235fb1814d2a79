import type { MessageFormat, Tool, ToolChoice } from "../../answer/types.ts";
import { shown, wrongKey } from "../../engine/request/request-values.ts";
import { bodiesOf, Body } from "../body.ts";

/** Tools and how they may be called. */
export type ToolSettings = Pick<MessageFormat, "tools" | "toolChoice" | "parallel">;

/** Reads `tools`, `tool_choice` and `parallel_tool_calls`. @throws IdlmError "usage". */
export function readTools(body: Body): ToolSettings {
  const given = body.take("tools") ?? [];
  if (!Array.isArray(given)) throw wrongKey(body.at("tools"), `expected an array of tools, found ${shown(given)}`);
  const tools = bodiesOf(given, body.at("tools"), body).map(readTool);
  const names = new Set(tools.map(({ name }) => name));
  if (names.size < tools.length) throw wrongKey(body.at("tools"), "two tools have the same name");
  return { tools, toolChoice: readChoice(body, names), parallel: body.boolean("parallel_tool_calls") ?? true };
}

function readTool(tool: Body): Tool {
  const type = tool.string("type") ?? "function";
  if (type !== "function") throw wrongKey(tool.at("type"), `expected "function", found ${shown(type)}`);
  const definition = new Body(tool.take("function"), tool.at("function"), tool);
  const name = definition.string("name");
  if (name === undefined || name === "") throw wrongKey(definition.at("name"), "expected a string that is not empty");
  const description = definition.string("description");
  const parameters = definition.object("parameters");
  const strict = definition.boolean("strict") ?? false;
  return { name, description, parameters, strict, schemaPath: definition.at("parameters") };
}

function readChoice(body: Body, names: ReadonlySet<string>): ToolChoice {
  const choice = body.take("tool_choice");
  const path = body.at("tool_choice");
  if (choice === undefined || choice === "auto" || choice === "none") return choice ?? "auto";
  if (choice === "required") {
    if (names.size === 0) throw wrongKey(path, "required without tools", "Name at least one tool.");
    return choice;
  }
  if (typeof choice === "string")
    throw wrongKey(path, `expected auto, none, required or a function, found ${shown(choice)}`);
  const named = new Body(choice, path);
  if (named.string("type") !== "function") throw wrongKey(named.at("type"), 'expected "function"');
  const name = new Body(named.take("function"), named.at("function")).string("name");
  if (name === undefined || !names.has(name)) {
    throw wrongKey(named.at("function.name"), `expected the name of a tool, found ${shown(name)}`);
  }
  return { name };
}
