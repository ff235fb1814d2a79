import { mapSettings } from "../compute/sampling/settings.ts";
import type { ChatMessage, GenerateRequest } from "../engine/types.ts";
import type { KeyNames } from "../errors.ts";
import { Body, wrong } from "./body.ts";

/** The endpoints that are understood. */
export type Endpoint = "chat" | "completions";

export const endpoints: Readonly<Record<string, Endpoint>> = {
  "/v1/chat/completions": "chat",
  "/v1/completions": "completions",
};

/** What the API calls the engine's keys; where both have one name it is not here. What a model is loaded with has none. */
const names: KeyNames = {
  ...mapSettings(snakeCase),
  ...{ maxTokens: "max_tokens", logitBias: "logit_bias", predict: "prediction", ids: "prompt" },
  ...{ adapter: "one", draftModel: "one" },
};

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** A body of the OpenAI API as the engine understands it. */
export interface OpenAiRequest {
  readonly endpoint: Endpoint;
  /** One for each prompt: `completions` may have several. */
  readonly requests: readonly GenerateRequest[];
  readonly stream: boolean;
  /** The last part of a stream has the usage. */
  readonly streamsUsage: boolean;
  /** What the body calls the engine's keys, for its errors. */
  readonly names: KeyNames;
}

/** As the API has it; more are not shown. */
const MAX_TOP_LOGPROBS = 20;
/** What /v1/completions writes where nobody says how much, as the API has it. */
const DEFAULT_COMPLETION_TOKENS = 16;
const MAX_PROMPTS = 128;

/**
 * Reads the body of a request to /v1/chat/completions or /v1/completions. Beside the API's own keys it takes the
 * other sampling settings in snake case, as other servers do, and `propose`, `stride`, `shape`, `verify`, `tau`, `priority`. The
 * temperature is 1 where none is given, as the API has it, and the seed 0: the same body gets the same text.
 * @throws IdlmError "usage" naming the key. The engine checks ranges when the request is generated.
 */
export function readOpenAiRequest(endpoint: Endpoint, json: unknown): OpenAiRequest {
  const body = new Body(json);
  body.ignore("model", "user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key");
  const stream = body.boolean("stream") ?? false;
  const streamsUsage = readStreamOptions(body.take("stream_options"));
  const common = commonSettings(body);
  const requests = endpoint === "chat" ? [{ ...common, ...chat(body) }] : completions(body, common);
  body.end();
  return { endpoint, requests, stream, streamsUsage, names: endpoint === "chat" ? chatNames(body) : names };
}

function chatNames(body: Body): KeyNames {
  const newer = body.take("max_completion_tokens") === undefined ? {} : { maxTokens: "max_completion_tokens" };
  return { ...names, ...newer, logprobs: "top_logprobs", prompt: "/v1/completions" };
}

function commonSettings(body: Body): GenerateRequest {
  const text = (key: string) => body.string(key) as never;
  const stop = body.take("stop");
  const sampling = mapSettings((name) => body.number(snakeCase(name)));
  return {
    n: body.number("n"),
    ...sampling,
    temperature: sampling.temperature ?? 1,
    logitBias: body.take("logit_bias") as GenerateRequest["logitBias"],
    seed: body.number("seed"),
    // Its strings are checked with the request.
    stop: typeof stop === "string" ? [stop] : (stop as GenerateRequest["stop"]),
    propose: text("propose"),
    stride: body.number("stride"),
    shape: text("shape"),
    verify: text("verify"),
    tau: body.number("tau"),
    priority: body.number("priority"),
  };
}

function readStreamOptions(value: unknown): boolean {
  if (value === undefined) return false;
  const options = new Body(value);
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
  body.ignore("parallel_tool_calls");
  const isText = (value: unknown) => (value as { type?: unknown } | null)?.type === "text";
  body.only("response_format", isText, "Only text is written.");
  const logprobs = body.boolean("logprobs") ?? false;
  const top = body.number("top_logprobs");
  if (top !== undefined && !logprobs) throw wrong("top_logprobs: it needs logprobs", "Set logprobs to true.");
  if (top !== undefined && !(Number.isInteger(top) && top >= 0 && top <= MAX_TOP_LOGPROBS)) {
    throw wrong(`top_logprobs: expected a whole number from 0 to ${MAX_TOP_LOGPROBS}, found ${top}`);
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
  const prediction = new Body(value);
  if (prediction.take("type") !== "content") throw wrong('prediction.type: expected "content"');
  const text = textOf(prediction.take("content"), "prediction.content");
  prediction.end();
  return text;
}

function messagesOf(value: unknown): ChatMessage[] {
  if (!Array.isArray(value)) throw wrong("messages: expected an array of messages");
  return value.map((message: unknown, i): ChatMessage => {
    const at = `messages[${i}]`;
    if (typeof message !== "object" || message === null) throw wrong(`${at}: expected an object with role and content`);
    const body = new Body(message);
    const role = body.string("role");
    body.only("tool_calls", (calls) => Array.isArray(calls) && calls.length === 0, "Leave it out.");
    body.ignore("refusal", "annotations", "tool_call_id");
    const content = textOf(body.take("content"), `${at}.content`);
    body.end();
    // The engine knows the roles; templates know no developer.
    return { role: (role === "developer" ? "system" : role) as ChatMessage["role"], content };
  });
}

/** A text, or parts of type text. */
function textOf(value: unknown, at: string): string {
  if (typeof value === "string") return value;
  if (!Array.isArray(value)) throw wrong(`${at}: expected a text`);
  return value
    .map((part: unknown) => {
      const { type, text } = (part ?? {}) as { type?: unknown; text?: unknown };
      if (type !== "text" || typeof text !== "string") throw wrong(`${at}: expected parts of type text`);
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

/** A text, token ids, or several of either. */
function promptsOf(value: unknown): Pick<GenerateRequest, "prompt" | "ids">[] {
  if (typeof value === "string") return [{ prompt: value }];
  if (!Array.isArray(value) || value.length === 0)
    throw wrong("prompt: expected a text, token ids, or several of them");
  if (typeof value[0] === "number") return [{ ids: value as number[] }];
  if (value.length > MAX_PROMPTS) throw wrong(`prompt: expected at most ${MAX_PROMPTS}, found ${value.length}`);
  return value.map((one: unknown) => {
    if (typeof one === "string") return { prompt: one };
    if (Array.isArray(one)) return { ids: one as number[] };
    throw wrong("prompt: expected texts or lists of token ids");
  });
}
