import type { AnswerRequest, MessageFormat, Tool, ToolChoice } from "../../answer/types.ts";
import { shown, wrongKey } from "../../engine/request/request-values.ts";
import type { GenerateRequest } from "../../engine/types.ts";
import { bodiesOf, Body } from "../body.ts";
import { readMaxTokens, readSeed } from "../common-keys.ts";
import { otherGrammarKeys } from "../other-grammar-keys.ts";
import { readOwnKeys, snakeCaseNames } from "../own-keys.ts";
import { templateArguments } from "../template-arguments.ts";
import { ignoredSchemas, namedTool, toolFormat, toolSettings } from "../tool-settings.ts";
import { refuseUnsupported } from "../unsupported-keys.ts";
import { readConversation } from "./messages.ts";

/** A body of POST /v1/messages or /v1/messages/count_tokens. */
export interface MessagesRequest {
  readonly answer: AnswerRequest;
  readonly model: string | undefined;
  readonly stream: boolean;
}

/** Keys of the API that do not change the text. */
const withoutEffect = [
  ...["metadata", "service_tier", "inference_geo", "cache_control", "diagnostics", "speed"],
  ...["user_profile_id", "workspace_id", "betas"],
];
/** Keys of the API that would change the text. */
const unsupported = ["container", "mcp_servers", "context_management"];

/**
 * Reads a body of the Messages API. `countsOnly`: of /v1/messages/count_tokens, which needs no `max_tokens`. Accepts
 * idlm's own keys, too. @throws IdlmError "usage" with the key; ranges are validated by the engine.
 */
export function readMessagesRequest(json: unknown, countsOnly = false): MessagesRequest {
  const body = new Body(json);
  body.ignore(...withoutEffect);
  for (const key of unsupported) body.only(key, () => false, "Leave it out.");
  const [model, stream] = [body.string("model"), body.boolean("stream") ?? false];
  const maxTokens = readMaxTokens(body, "max_tokens");
  if (maxTokens === undefined && !countsOnly) {
    throw wrongKey("max_tokens", "missing", "Give the largest number of tokens to generate.");
  }
  const ownKeys = readOwnKeys(body);
  const stop = body.take("stop_sequences") as GenerateRequest["stop"];
  const format = readFormat(body);
  const messages = readConversation(body);
  const request: GenerateRequest = {
    messages,
    // The answer goes on where a last message of the assistant ends.
    ...(messages.at(-1)?.role === "assistant" && { continueFinalMessage: true }),
    maxTokens,
    stop,
    seed: readSeed(body),
    ...ownKeys.sampling,
    temperature: ownKeys.sampling.temperature ?? 1,
    ...ownKeys.settings,
    ...(ownKeys.rounds && { rounds: true }),
    ...toolSettings(format.tools),
    templateArguments: templateArguments(body, readThinking(body)),
    grammar: readOutput(body),
  };
  refuseUnsupported(body, otherGrammarKeys);
  const ignored = [...body.unread(), ...ignoredSchemas(format, request.grammar)];
  const names = { ...snakeCaseNames, stop: "stop_sequences", grammar: "output_config.format" };
  return { answer: { requests: [request], format, rounds: ownKeys.rounds, ignored, names }, model, stream };
}

function readFormat(body: Body): MessageFormat {
  const tools = bodiesOf(body.take("tools") ?? [], "tools", body).map(readTool);
  const value = body.take("tool_choice");
  if (value === undefined) return toolFormat({ tools, toolChoice: "auto", parallel: true });
  const choice = new Body(value, "tool_choice", body);
  const parallel = !(choice.boolean("disable_parallel_tool_use") ?? false);
  return toolFormat({ tools, toolChoice: readToolChoice(choice, tools), parallel });
}

function readTool(tool: Body): Tool {
  const type = tool.take("type");
  if (type !== undefined && type !== "custom") {
    throw wrongKey(tool.at("type"), `expected custom, found ${shown(type)}`, "Tools of the API's own are not offered.");
  }
  const name = tool.string("name");
  if (name === undefined || name === "") throw wrongKey(tool.at("name"), "expected the name of the tool");
  // Examples are for models that were trained with them.
  tool.ignore("cache_control", "eager_input_streaming", "defer_loading", "allowed_callers", "input_examples");
  const schema = tool.take("input_schema");
  if (typeof schema !== "object" || schema === null || Array.isArray(schema)) {
    throw wrongKey(tool.at("input_schema"), `expected a JSON schema, found ${shown(schema)}`);
  }
  const parameters = schema as Readonly<Record<string, unknown>>;
  return {
    ...{ name, description: tool.string("description"), parameters, strict: tool.boolean("strict") ?? false },
    schemaPath: tool.at("input_schema"),
  };
}

function readToolChoice(choice: Body, tools: readonly Tool[]): ToolChoice {
  const type = choice.choice("type", ["auto", "any", "tool", "none"]);
  if (type === undefined) throw wrongKey("tool_choice.type", "expected auto, any, tool or none");
  if (type === "any") {
    if (tools.length === 0) throw wrongKey("tool_choice", "needs tools", "Give at least one.");
    return "required";
  }
  return type === "tool" ? { name: namedTool(choice, tools) } : type;
}

/** Arguments for templates that can switch reasoning on and off. */
function readThinking(body: Body): GenerateRequest["templateArguments"] {
  const value = body.take("thinking");
  if (value === undefined) return undefined;
  const thinking = new Body(value, "thinking", body);
  // A template takes no budget, and the text of the reasoning is always in the answer.
  thinking.ignore("budget_tokens", "display");
  const type = thinking.choice("type", ["enabled", "disabled", "adaptive"]);
  if (type === undefined) throw wrongKey("thinking.type", "expected enabled, disabled or adaptive");
  return { enable_thinking: type !== "disabled" };
}

function readOutput(body: Body): GenerateRequest["grammar"] {
  const [value, older] = [body.take("output_config"), body.take("output_format")];
  const config = new Body(value ?? {}, "output_config", body);
  // An effort is a hint to the model, which no template of these models knows.
  config.ignore("effort");
  const format = config.take("format") ?? older;
  if (format === undefined) return undefined;
  const output = new Body(format, older === format ? "output_format" : "output_config.format", body);
  output.choice("type", ["json_schema"]);
  const schema = output.take("schema");
  if (schema === undefined) throw wrongKey(output.at("schema"), "expected a JSON schema");
  return { kind: "schema", schema };
}
