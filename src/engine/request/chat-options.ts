import type { ChatOptions, GenerateRequest, ToolDefinition } from "../types.ts";
import { isDeeperThan, MAX_DEPTH } from "./json-depth.ts";
import { MAX_CONTENT_LENGTH } from "./messages.ts";
import { shown, wrongKey } from "./request-values.ts";

/** As in the OpenAI API. */
const MAX_TOOLS = 128;

/** Variables of chat templates that the request sets otherwise. */
const setOtherwise = ["messages", "tools", "add_generation_prompt", "bos_token", "eos_token"];

/** Validates how a conversation is to be rendered. @throws IdlmError "usage". */
export function chatOptions({ messages, ...request }: GenerateRequest): ChatOptions {
  const { tools, templateArguments, addGenerationPrompt, continueFinalMessage } = request;
  const given = { tools, templateArguments, addGenerationPrompt, continueFinalMessage };
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined) continue;
    if (messages === undefined) throw wrongKey(name, "needs messages", "Only chat templates know it.");
    if (isDeeperThan(value, MAX_DEPTH)) throw wrongKey(name, `expected values at most ${MAX_DEPTH} levels deep`);
    if (JSON.stringify(value).length > MAX_CONTENT_LENGTH) {
      throw wrongKey(name, `expected at most ${MAX_CONTENT_LENGTH} characters of JSON`);
    }
  }
  for (const [name, value] of Object.entries({ addGenerationPrompt, continueFinalMessage })) {
    if (value === undefined || typeof value === "boolean") continue;
    throw wrongKey(name, `expected true or false, found ${shown(value)}`);
  }
  if (addGenerationPrompt === true && continueFinalMessage === true) {
    throw wrongKey("addGenerationPrompt", "the model cannot both continue a message and begin one", "Leave one out.");
  }
  checkTools(tools);
  checkArguments(templateArguments);
  return given;
}

function checkTools(tools: unknown): void {
  if (tools === undefined) return;
  if (!Array.isArray(tools) || tools.length > MAX_TOOLS) throw wrongKey("tools", `expected at most ${MAX_TOOLS} tools`);
  for (const [i, tool] of tools.entries()) {
    const path = `tools[${i}]`;
    if (!isObject(tool)) throw wrongKey(path, "expected an object with name, description and parameters");
    const { name, description, parameters }: Partial<Record<keyof ToolDefinition, unknown>> = tool;
    if (typeof name !== "string" || name === "") throw wrongKey(`${path}.name`, "expected a string that is not empty");
    if (description !== undefined && typeof description !== "string") {
      throw wrongKey(`${path}.description`, `expected a string, found ${shown(description)}`);
    }
    if (parameters !== undefined && !isObject(parameters)) {
      throw wrongKey(`${path}.parameters`, `expected a JSON schema, found ${shown(parameters)}`);
    }
  }
}

function checkArguments(given: unknown): void {
  if (given === undefined) return;
  if (!isObject(given)) throw wrongKey("templateArguments", "expected an object with variables of the chat template");
  const taken = setOtherwise.find((name) => Object.hasOwn(given, name));
  if (taken !== undefined) throw wrongKey(`templateArguments.${taken}`, "is set by the request or the model");
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
