import { mapSettings } from "../../compute/sampling/settings.ts";
import type { AnswerRequest } from "../../answer/types.ts";
import { readMessages } from "../../engine/request/messages.ts";
import { shown, wrongKey } from "../../engine/request/request-values.ts";
import { proposeValues, shapeValues, verifyValues } from "../../engine/request/round-options.ts";
import type { ChatMessage, GenerateRequest } from "../../engine/types.ts";
import type { KeyNames } from "../../errors.ts";
import { Body } from "../body.ts";

/** Supported endpoints. */
export type Endpoint = "chat" | "completions";

export const endpoints: Readonly<Record<string, Endpoint>> = {
  "/v1/chat/completions": "chat",
  "/v1/completions": "completions",
};

/** The API's names of the engine's keys, where they differ. */
const names: KeyNames = {
  ...mapSettings(snakeCase),
  ...{ maxTokens: "max_tokens", logitBias: "logit_bias", predict: "prediction", ids: "prompt" },
  // Requirements that a client cannot meet, so described instead of named.
  ...{ adapter: "an adapter", draftModel: "a draft model" },
};

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** A body of the OpenAI API. `completions` may have several prompts. */
export interface OpenAiRequest extends AnswerRequest {
  readonly endpoint: Endpoint;
  readonly stream: boolean;
  /** Whether the last chunk of a stream has the usage. */
  readonly streamsUsage: boolean;
}

/** Limit of the API. */
const MAX_TOP_LOGPROBS = 20;
/** Default `max_tokens` of /v1/completions, as in the API. */
const DEFAULT_COMPLETION_TOKENS = 16;
const MAX_PROMPTS = 128;
const MAX_SEED = 2 ** 63;
/** In the API top_p may be 0: the most likely token alone. */
const LEAST_TOP_P = 1e-30;

/**
 * Reads the body of a request to /v1/chat/completions or /v1/completions. Accepts the API's keys, all other sampling
 * settings in snake case, as other servers do, and `propose`, `stride`, `shape`, `verify`, `tau`, `priority`. Default
 * temperature 1, as in the API, and seed 0: the same body yields the same text. @throws IdlmError "usage" with the key.
 * Ranges are validated by the engine.
 */
export function readOpenAiRequest(endpoint: Endpoint, json: unknown): OpenAiRequest {
  const body = new Body(json);
  body.ignore("model", "user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key");
  body.ignore("prompt_cache_retention");
  const stream = body.boolean("stream") ?? false;
  const streamsUsage = readStreamOptions(body.take("stream_options"));
  const common = commonSettings(body);
  const asked = endpoint === "chat" ? [{ ...common, ...chat(body) }] : completions(body, common);
  body.end();
  const isEmpty = endpoint === "completions" && asked[0]?.maxTokens === 0;
  const requests = isEmpty ? asked.map((request) => ({ ...request, maxTokens: 1 })) : asked;
  return {
    ...{ endpoint, requests, isEmpty, stream, streamsUsage, rounds: false, ignored: [] },
    format: endpoint === "chat" ? { tools: [], toolChoice: "none", parallel: true, reasoning: false } : undefined,
    names: endpoint === "chat" ? chatNames(body) : names,
  };
}

function chatNames(body: Body): KeyNames {
  const newer = body.take("max_completion_tokens") === undefined ? {} : { maxTokens: "max_completion_tokens" };
  return { ...names, ...newer, logprobs: "top_logprobs", prompt: "/v1/completions" };
}

function commonSettings(body: Body): GenerateRequest {
  const stop = body.take("stop");
  const sampling = mapSettings((name) => body.number(snakeCase(name)));
  return {
    n: body.number("n"),
    ...sampling,
    temperature: sampling.temperature ?? 1,
    topP: sampling.topP === 0 ? LEAST_TOP_P : sampling.topP,
    logitBias: body.take("logit_bias") as GenerateRequest["logitBias"],
    seed: seedOf(body.number("seed")),
    // Its strings are validated with the request.
    stop: typeof stop === "string" ? [stop] : (stop as GenerateRequest["stop"]),
    propose: body.choice("propose", proposeValues),
    stride: body.number("stride"),
    shape: body.choice("shape", shapeValues),
    verify: body.choice("verify", verifyValues),
    tau: body.number("tau"),
    priority: body.number("priority"),
  };
}

/** The API's seeds are integers of 64 bits; the engine's, from 0 up to 2^53 − 1. */
function seedOf(seed: number | undefined): number | undefined {
  if (seed === undefined || !Number.isInteger(seed) || Math.abs(seed) > MAX_SEED) return seed;
  return seed >= 0 && Number.isSafeInteger(seed) ? seed : Number(BigInt.asUintN(53, BigInt(seed)));
}

function readStreamOptions(value: unknown): boolean {
  if (value === undefined) return false;
  const options = new Body(value, "stream_options");
  const includes = options.boolean("include_usage") ?? false;
  options.ignore("include_obfuscation");
  options.end();
  return includes;
}

function chat(body: Body): GenerateRequest {
  const isEmpty = (value: unknown) => Array.isArray(value) && value.length === 0;
  body.only("tools", isEmpty, "Leave it out.");
  body.only("tool_choice", (value) => value === "none" || value === "auto", "Leave it out.");
  body.only("functions", isEmpty, "Leave it out.");
  body.only("modalities", (value) => Array.isArray(value) && value.every((one) => one === "text"), "Text is written.");
  body.only("function_call", (value) => value === "none" || value === "auto", "Leave it out.");
  body.only("reasoning_effort", (value) => value === "none", "Leave it out.");
  body.only("verbosity", (value) => value === "medium", "Leave it out.");
  body.only("audio", () => false, "Text is written.");
  body.only("web_search_options", () => false, "Leave it out.");
  body.ignore("parallel_tool_calls");
  const isText = (value: unknown) => (value as { type?: unknown } | null)?.type === "text";
  body.only("response_format", isText, "Only text is written.");
  const logprobs = body.boolean("logprobs") ?? false;
  const top = body.number("top_logprobs");
  if (top !== undefined && !logprobs) throw wrongKey("top_logprobs", "requires logprobs", "Set logprobs to true.");
  if (top !== undefined && !(Number.isInteger(top) && top >= 0 && top <= MAX_TOP_LOGPROBS)) {
    throw wrongKey("top_logprobs", `expected a whole number from 0 to ${MAX_TOP_LOGPROBS}, found ${top}`);
  }
  const [older, newer] = [body.number("max_tokens"), body.number("max_completion_tokens")];
  return {
    messages: messagesOf(body.take("messages")),
    maxTokens: newer ?? older,
    logprobs: logprobs ? (top ?? 0) : undefined,
    predict: predictionOf(body.take("prediction")),
  };
}

function predictionOf(value: unknown): string | undefined {
  if (value === undefined) return undefined;
  const prediction = new Body(value, "prediction");
  if (prediction.take("type") !== "content") throw wrongKey("prediction.type", 'expected "content"');
  const text = textOf(prediction.take("content"), "prediction.content");
  prediction.end();
  return text;
}

function messagesOf(value: unknown): readonly ChatMessage[] {
  const messages: unknown = Array.isArray(value) ? value.map(plainMessage) : value;
  return readMessages(messages, (path, expected, found) =>
    wrongKey(`messages${path}`, `expected ${expected}, found ${found}`),
  );
}

/** A message of the API in the engine's form; `readMessages` validates it. */
function plainMessage(message: unknown, i: number): unknown {
  if (typeof message !== "object" || message === null || Array.isArray(message)) return message;
  const body = new Body(message, `messages[${i}]`);
  body.only("tool_calls", (calls) => Array.isArray(calls) && calls.length === 0, "Leave it out.");
  body.only("function_call", () => false, "Leave it out.");
  body.only("audio", () => false, "Leave it out.");
  body.string("name");
  body.ignore("refusal", "annotations", "tool_call_id");
  const [role, content] = [body.take("role"), body.take("content")];
  body.end();
  return {
    // Chat templates have no developer role.
    role: role === "developer" ? "system" : role,
    content: Array.isArray(content) ? textOf(content, body.at("content")) : content,
  };
}

/** A string, or parts of type text. */
function textOf(value: unknown, path: string): string {
  if (typeof value === "string") return value;
  if (!Array.isArray(value)) throw wrongKey(path, "expected a string or parts of type text");
  return value
    .map((part: unknown, i) => {
      const { type, text } = (part ?? {}) as { readonly type?: unknown; readonly text?: unknown };
      if (type !== "text") throw wrongKey(`${path}[${i}].type`, `expected text, found ${shown(type)}`);
      if (typeof text !== "string") throw wrongKey(`${path}[${i}].text`, `expected a string, found ${shown(text)}`);
      return text;
    })
    .join("");
}

function completions(body: Body, common: GenerateRequest): GenerateRequest[] {
  body.only("echo", (value) => value === false, "Put the prompt in front yourself.");
  body.only("suffix", (value) => value === "", "Leave it out.");
  body.only("best_of", (value) => value === (common.n ?? 1), "Use n.");
  const settings = {
    ...common,
    maxTokens: body.number("max_tokens") ?? DEFAULT_COMPLETION_TOKENS,
    logprobs: body.number("logprobs"),
  };
  return promptsOf(body.take("prompt")).map((prompt) => ({ ...settings, ...prompt }));
}

/** A string, token ids, or a list of either. */
function promptsOf(value: unknown): Pick<GenerateRequest, "prompt" | "ids">[] {
  if (value === undefined || typeof value === "string") return [{ prompt: value ?? "" }];
  if (!Array.isArray(value) || value.length === 0)
    throw wrongKey("prompt", "expected a string, token ids, or a list of either");
  if (typeof value[0] === "number") return [{ ids: value as number[] }];
  if (value.length > MAX_PROMPTS)
    throw wrongKey("prompt", `expected at most ${MAX_PROMPTS} prompts, found ${value.length}`);
  return value.map((one: unknown, i) => {
    if (typeof one === "string") return { prompt: one };
    if (Array.isArray(one)) return { ids: one as number[] };
    throw wrongKey(`prompt[${i}]`, "expected a string or a list of token ids");
  });
}
