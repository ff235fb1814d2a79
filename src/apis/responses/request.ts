import type { AnswerRequest, MessageFormat, Tool } from "../../answer/types.ts";
import { oneOf, shown, wrongKey } from "../../engine/request/request-values.ts";
import type { ChatMessage, GenerateRequest } from "../../engine/types.ts";
import { bodiesOf, Body } from "../body.ts";
import { readMaxTokens, readSeed, readTopLogprobs } from "../common-keys.ts";
import { otherGrammarKeys } from "../other-grammar-keys.ts";
import { readOwnKeys, snakeCaseNames } from "../own-keys.ts";
import { effortArguments, templateArguments } from "../template-arguments.ts";
import { ignoredSchemas, namedTool, readFunction, toolFormat, toolSettings } from "../tool-settings.ts";
import { refuseUnsupported } from "../unsupported-keys.ts";
import { type FindItem, readInput } from "./input-items.ts";

/** A body of POST /v1/responses or /v1/responses/input_tokens. */
export interface ResponsesRequest {
  readonly answer: AnswerRequest;
  readonly model: string | undefined;
  readonly stream: boolean;
  /** Whether the response can be got and continued later. */
  readonly store: boolean;
  /** The response that this one continues. */
  readonly previous: string | undefined;
  /** Messages of `input`. */
  readonly input: readonly ChatMessage[];
  /** Keys of the request that the response repeats. */
  readonly echo: Readonly<Record<string, unknown>>;
}

/** What is stored. */
export interface StoredParts {
  /** The messages up to the end of a response. */
  readonly conversation: (id: string) => readonly ChatMessage[] | undefined;
  readonly item: FindItem;
}

/** Keys of the API that do not change the text. */
const withoutEffect = [
  ...["user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options"],
  ...["service_tier", "stream_options", "moderation", "max_tool_calls", "personality", "metadata"],
];
/** Keys of the API that would change the text. */
const unsupported = ["conversation", "prompt", "context_management"];

/**
 * Reads a body of the Responses API. Accepts idlm's own keys, too. @throws IdlmError "usage" with the key; ranges are
 * validated by the engine.
 */
export function readResponsesRequest(json: unknown, stored: StoredParts): ResponsesRequest {
  const body = new Body(json);
  body.ignore(...withoutEffect);
  for (const key of unsupported) body.only(key, () => false, "Leave it out.");
  body.only("background", (value) => value === false, "Leave it out.");
  body.choice("truncation", ["disabled", "auto"]);
  const [model, stream, store] = [body.string("model"), body.boolean("stream") ?? false, body.boolean("store") ?? true];
  const ownKeys = readOwnKeys(body);
  const format = readFormat(body);
  const [previous, instructions] = [body.string("previous_response_id"), body.string("instructions")];
  const given = body.take("input");
  const input = given === undefined ? [] : readInput(given, stored.item, body);
  const messages = [
    ...(instructions === undefined ? [] : [{ role: "system" as const, content: instructions }]),
    ...(previous === undefined ? [] : earlier(previous, stored)),
    ...input,
  ];
  if (messages.length === 0) throw wrongKey("input", "missing", "Give a text or items.");
  const temperature = ownKeys.sampling.temperature ?? 1;
  const request: GenerateRequest = {
    messages,
    maxTokens: readMaxTokens(body, "max_output_tokens"),
    seed: readSeed(body),
    ...ownKeys.sampling,
    temperature,
    ...ownKeys.settings,
    ...(ownKeys.rounds && { rounds: true }),
    ...toolSettings(format.tools),
    templateArguments: templateArguments(body, readReasoning(body)),
    logprobs: readLogprobs(body),
    grammar: readText(body),
  };
  const names = {
    ...snakeCaseNames,
    maxTokens: "max_output_tokens",
    messages: "input",
    logprobs: "top_logprobs",
    grammar: "text.format",
  };
  const echo = echoOf(json as Readonly<Record<string, unknown>>, { temperature, store });
  refuseUnsupported(body, otherGrammarKeys);
  const ignored = [...body.unread(), ...ignoredSchemas(format, request.grammar)];
  return {
    answer: { requests: [request], format, rounds: ownKeys.rounds, ignored, names },
    model,
    stream,
    store,
    previous,
    input,
    echo,
  };
}

function earlier(id: string, { conversation }: StoredParts): readonly ChatMessage[] {
  const messages = conversation(id);
  if (messages !== undefined) return messages;
  const problem = `no response ${shown(id)} is stored`;
  throw wrongKey("previous_response_id", problem, "Send the whole conversation as input.");
}

function echoOf(
  body: Readonly<Record<string, unknown>>,
  defaults: { readonly temperature: number; readonly store: boolean },
) {
  const or = (key: string, other: unknown) => body[key] ?? other;
  return {
    ...{ instructions: or("instructions", null), metadata: or("metadata", {}), tools: echoTools(body.tools) },
    ...{ tool_choice: or("tool_choice", "auto"), parallel_tool_calls: or("parallel_tool_calls", true) },
    ...{ temperature: defaults.temperature, top_p: or("top_p", 1), max_output_tokens: or("max_output_tokens", null) },
    ...{ previous_response_id: or("previous_response_id", null), reasoning: or("reasoning", null) },
    ...{ text: or("text", { format: { type: "text" } }), truncation: or("truncation", "disabled") },
    ...{ top_logprobs: or("top_logprobs", 0), user: or("user", null), store: defaults.store, background: false },
    ...{ presence_penalty: or("presence_penalty", 0), frequency_penalty: or("frequency_penalty", 0) },
    ...{
      max_tool_calls: or("max_tool_calls", null),
      service_tier: "default",
      prompt_cache_key: or("prompt_cache_key", null),
    },
    ...{ safety_identifier: or("safety_identifier", null), conversation: null, prompt: null },
  };
}

/** With the keys that clients expect in a response. */
function echoTools(tools: unknown) {
  if (!Array.isArray(tools)) return [];
  return tools.map((tool: object) => ({ description: null, parameters: null, strict: false, ...tool }));
}

function readFormat(body: Body): MessageFormat {
  const tools = bodiesOf(body.take("tools") ?? [], "tools", body).map(readTool);
  const parallel = body.boolean("parallel_tool_calls") ?? true;
  return toolFormat({ ...readToolChoice(body, tools), parallel });
}

function readTool(tool: Body): Tool {
  const type = tool.take("type");
  if (type !== "function") {
    throw wrongKey(tool.at("type"), `expected function, found ${shown(type)}`, "Hosted tools are not offered.");
  }
  return { ...readFunction(tool), strict: tool.boolean("strict") ?? false };
}

/** A choice of allowed tools leaves the others out. */
function readToolChoice(body: Body, tools: readonly Tool[]): Pick<MessageFormat, "tools" | "toolChoice"> {
  const value = body.take("tool_choice");
  if (value === undefined || typeof value === "string") {
    const toolChoice = oneOf("tool_choice", value ?? "auto", ["auto", "none", "required"] as const);
    if (toolChoice === "required" && tools.length === 0)
      throw wrongKey("tool_choice", "needs tools", "Give at least one.");
    return { tools, toolChoice };
  }
  const choice = new Body(value, "tool_choice", body);
  const type = choice.choice("type", ["function", "allowed_tools"]);
  if (type !== "allowed_tools") return { tools, toolChoice: { name: namedTool(choice, tools) } };
  const names = bodiesOf(choice.take("tools"), "tool_choice.tools", choice).map((tool) => {
    tool.choice("type", ["function"]);
    return namedTool(tool, tools);
  });
  const toolChoice = choice.choice("mode", ["auto", "required"] as const) ?? "auto";
  return { tools: tools.filter(({ name }) => names.includes(name)), toolChoice };
}

function readText(body: Body): GenerateRequest["grammar"] {
  const text = new Body(body.take("text") ?? {}, "text", body);
  const value = text.take("format");
  if (value === undefined) return undefined;
  const format = new Body(value, "text.format", text);
  format.ignore("name", "description", "strict", "schema");
  const type = format.choice("type", ["text", "json_object", "json_schema"]);
  if (type === undefined) throw wrongKey("text.format.type", "expected text, json_object or json_schema");
  if (type === "text") return undefined;
  if (type === "json_object") return { kind: "json" };
  const schema = format.take("schema");
  if (schema === undefined) throw wrongKey("text.format.schema", "expected a JSON schema");
  return { kind: "schema", schema };
}

function readReasoning(body: Body): GenerateRequest["templateArguments"] {
  const value = body.take("reasoning");
  if (value === undefined) return undefined;
  const reasoning = new Body(value, "reasoning", body);
  reasoning.ignore("summary", "generate_summary");
  return effortArguments(reasoning.string("effort"));
}

function readLogprobs(body: Body): number | undefined {
  const include = body.take("include") ?? [];
  if (!Array.isArray(include)) throw wrongKey("include", `expected an array, found ${shown(include)}`);
  const top = readTopLogprobs(body);
  if (include.includes("message.output_text.logprobs")) return top ?? 0;
  return top === 0 ? undefined : top;
}
