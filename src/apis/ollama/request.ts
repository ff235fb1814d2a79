import type { AnswerRequest, Tool } from "../../answer/types.ts";
import { shown, wrongKey } from "../../engine/request/request-values.ts";
import type { GenerateRequest } from "../../engine/types.ts";
import { bodiesOf, Body } from "../body.ts";
import { readTopLogprobs } from "../common-keys.ts";
import { grammarNames } from "../grammar-settings.ts";
import { otherGrammarKeys } from "../other-grammar-keys.ts";
import { readOwnKeys, snakeCaseNames } from "../own-keys.ts";
import { templateArguments } from "../template-arguments.ts";
import { ignoredSchemas, readFunction, toolFormat, toolSettings } from "../tool-settings.ts";
import { refuseUnsupported } from "../unsupported-keys.ts";
import { readConversation, withoutImages } from "./messages.ts";
import { readOptions } from "./options.ts";

export type OllamaEndpoint = "chat" | "generate";

/** A body of POST /api/chat or /api/generate. */
export interface OllamaRequest {
  readonly endpoint: OllamaEndpoint;
  readonly model: string | undefined;
  readonly stream: boolean;
  /** Undefined: the body has no prompt; it loads the model, or unloads it. */
  readonly answer: AnswerRequest | undefined;
  /** How long the model stays loaded after the request, in seconds; Infinity: always. */
  readonly keepAliveSeconds: number | undefined;
}

const names = {
  ...Object.fromEntries(Object.entries(snakeCaseNames).map(([key, name]) => [key, `options.${name}`])),
  ...{ maxTokens: "options.num_predict", repetitionPenalty: "options.repeat_penalty", context: "options.num_ctx" },
  ...{ stop: "options.stop", seed: "options.seed", logprobs: "top_logprobs", ids: "prompt" },
  ...grammarNames("format"),
  ...{ adapter: "an adapter", draftModel: "a draft model" },
};

/**
 * Reads a body of Ollama's API. `contextOf`: the context length of the model that it names, if that is loaded; a larger
 * `num_ctx` is that one. Accepts idlm's own keys, too. @throws IdlmError "usage" with the key; ranges are validated by
 * the engine.
 */
export function readOllamaRequest(
  endpoint: OllamaEndpoint,
  json: unknown,
  contextOf: (model: string | undefined) => number | undefined,
): OllamaRequest {
  const body = new Body(json);
  // Context is never cut off here, so it does not matter how it would be.
  body.ignore("truncate", "shift");
  const [name, stream] = [body.string("model"), body.boolean("stream") ?? true];
  const keepAliveSeconds = readDuration(body.take("keep_alive"));
  const options = readOptions(body);
  const ownKeys = readOwnKeys(body);
  const sampling = Object.fromEntries(Object.entries(ownKeys.sampling).filter(([, value]) => value !== undefined));
  const tools = endpoint === "chat" ? readTools(body) : [];
  const model = name?.replace(/:latest$/, "");
  const common: GenerateRequest = {
    ...options.settings,
    ...sampling,
    ...ownKeys.settings,
    ...(ownKeys.rounds && { rounds: true }),
    context: contextWithin(options.context, contextOf(model)),
    templateArguments: templateArguments(body, readThink(body.take("think"))),
    logprobs: readLogprobs(body),
    grammar: readFormat(body.take("format")),
    ...toolSettings(tools),
  };
  const prompt = endpoint === "chat" ? readChat(body) : readPrompt(body);
  refuseUnsupported(body, otherGrammarKeys);
  const isRaw = prompt?.prompt !== undefined;
  const format = isRaw ? undefined : toolFormat({ tools, toolChoice: "auto", parallel: true });
  const requests = [{ ...common, ...prompt }];
  const ignored = [...body.unread(), ...ignoredSchemas(format, common.grammar)];
  const answer = prompt && { requests, format, rounds: ownKeys.rounds, ignored, names };
  return { endpoint, model, stream, answer, keepAliveSeconds };
}

function contextWithin(requested: number | undefined, max = Number.POSITIVE_INFINITY): number | undefined {
  return requested === undefined ? undefined : Math.min(requested, max);
}

function readChat(body: Body): GenerateRequest | undefined {
  const messages = readConversation(body);
  return messages.length === 0 ? undefined : { messages };
}

function readPrompt(body: Body): GenerateRequest | undefined {
  withoutImages(body);
  const [raw, prompt, system] = [
    body.boolean("raw") ?? false,
    body.string("prompt") ?? "",
    body.string("system") ?? "",
  ];
  body.only("suffix", (value) => value === "", "Leave it out.");
  body.only("template", (value) => value === "", "Format the prompt yourself, and set raw.");
  body.only("context", (value) => Array.isArray(value) && value.length === 0, "Send the conversation to /api/chat.");
  if (prompt === "") return undefined;
  if (raw && system !== "") throw wrongKey("system", "not supported with raw", "Put it into the prompt.");
  if (raw) return { prompt };
  const user = { role: "user", content: prompt } as const;
  return { messages: system === "" ? [user] : [{ role: "system", content: system }, user] };
}

function readTools(body: Body): readonly Tool[] {
  return bodiesOf(body.take("tools") ?? [], "tools", body).map((tool) => {
    tool.choice("type", ["function"]);
    const definition = new Body(tool.take("function"), tool.at("function"), tool);
    definition.ignore("strict");
    return { ...readFunction(definition), strict: false };
  });
}

function readFormat(value: unknown): GenerateRequest["grammar"] {
  if (value === undefined || value === "") return undefined;
  if (value === "json") return { kind: "json" };
  if (typeof value === "object" && !Array.isArray(value)) return { kind: "schema", schema: value };
  throw wrongKey("format", `expected "json" or a JSON schema, found ${shown(value)}`);
}

/** Arguments for templates that can switch reasoning off, or know an effort. */
function readThink(value: unknown): GenerateRequest["templateArguments"] {
  if (value === undefined) return undefined;
  if (typeof value === "boolean") return { enable_thinking: value };
  if (typeof value === "string") return { enable_thinking: true, reasoning_effort: value };
  throw wrongKey("think", `expected true, false or an effort, found ${shown(value)}`);
}

function readLogprobs(body: Body): number | undefined {
  const [logprobs, top] = [body.boolean("logprobs") ?? false, readTopLogprobs(body) ?? 0];
  return logprobs || top > 0 ? top : undefined;
}

const unitSeconds: Readonly<Record<string, number>> = { ns: 1e-9, us: 1e-6, µs: 1e-6, ms: 1e-3, s: 1, m: 60, h: 3600 };

/** Seconds, or a text like "1h30m"; negative: for ever. */
function readDuration(value: unknown): number | undefined {
  if (value === undefined) return undefined;
  const seconds = typeof value === "number" ? value : typeof value === "string" ? secondsOf(value) : Number.NaN;
  if (Number.isNaN(seconds)) {
    throw wrongKey("keep_alive", `expected seconds or a duration like "5m", found ${shown(value)}`);
  }
  return seconds < 0 ? Number.POSITIVE_INFINITY : seconds;
}

function secondsOf(text: string): number {
  if (/^-?\d+(\.\d+)?$/.test(text)) return Number(text);
  const [, sign, parts] = /^(-?)((?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+)$/.exec(text) ?? [];
  if (parts === undefined) return Number.NaN;
  const terms = [...parts.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g)];
  const seconds = terms.reduce((sum, [, count, unit]) => sum + Number(count) * (unitSeconds[unit ?? ""] ?? 0), 0);
  return sign === "-" ? -seconds : seconds;
}
