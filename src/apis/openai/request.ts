import type { AnswerRequest } from "../../answer/types.ts";
import type { GenerateRequest } from "../../engine/types.ts";
import type { KeyNames } from "../../errors.ts";
import { Body } from "../body.ts";
import { readSeed, readStop } from "../common-keys.ts";
import { grammarSettings } from "../grammar-settings.ts";
import { type OwnKeys, readOwnKeys, snakeCaseNames } from "../own-keys.ts";
import { ignoredSchemas } from "../tool-settings.ts";
import { refuseUnsupported } from "../unsupported-keys.ts";
import { readChat } from "./chat-request.ts";
import { readCompletion } from "./completion-request.ts";
import { readGrammar } from "./grammar-request.ts";

/** Supported endpoints. */
export type Endpoint = "chat" | "completions";

export const endpoints: Readonly<Record<string, Endpoint>> = {
  "/v1/chat/completions": "chat",
  "/v1/completions": "completions",
};

/** The API's names of the engine's keys. */
const names: KeyNames = {
  ...{ ...snakeCaseNames, predict: "prediction" },
  ...{ templateArguments: "chat_template_kwargs", continueFinalMessage: "continue_final_message" },
  addGenerationPrompt: "add_generation_prompt",
};

/** A body of the OpenAI API. `completions` may have several prompts. */
export interface OpenAiRequest extends AnswerRequest {
  readonly endpoint: Endpoint;
  readonly stream: boolean;
  /** Whether the last chunk of a stream has the usage. */
  readonly streamsUsage: boolean;
}

/** Keys that do not concern the text. */
const withoutEffect = [
  ...["model", "user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key"],
  ...["prompt_cache_retention", "prompt_cache_options"],
];

/**
 * Reads the body of a request to /v1/chat/completions or /v1/completions. Accepts the API's keys, all other sampling
 * settings in snake case, as other servers do, and idlm's own ones. Default temperature 1, as in the API, and seed 0: the
 * same body yields the same text. @throws IdlmError "usage" with the key, also for a key that would change the text and is
 * not supported. Ranges are validated by the engine.
 */
export function readOpenAiRequest(endpoint: Endpoint, json: unknown): OpenAiRequest {
  const body = new Body(json);
  const isChat = endpoint === "chat";
  body.ignore(...withoutEffect);
  const stream = body.boolean("stream") ?? false;
  const streamsUsage = readStreamOptions(body);
  const ownKeys = readOwnKeys(body);
  const grammar = readGrammar(body);
  const common = { ...commonSettings(body, ownKeys), ...grammarSettings(grammar?.grammar) };
  const chat = isChat ? readChat(body) : undefined;
  const completion = isChat ? undefined : readCompletion(body, common, stream);
  refuseUnsupported(body, isChat ? { echo: (value) => value === false, add_generation_prompt: () => true } : {});
  return {
    ...{ endpoint, stream, streamsUsage, rounds: ownKeys.rounds },
    ...(completion ?? { requests: [{ ...common, ...chat?.asked }] }),
    ignored: [...body.unread(), ...ignoredSchemas(chat?.format, grammar?.grammar)],
    format: chat?.format,
    names: {
      ...(isChat ? chatNames(body) : names),
      ...(completion?.best !== undefined && { n: "best_of" }),
      ...grammar?.names,
    },
  };
}

function chatNames(body: Body): KeyNames {
  const newer = body.take("max_completion_tokens") === undefined ? {} : { maxTokens: "max_completion_tokens" };
  return { ...names, ...newer, logprobs: "top_logprobs", prompt: "/v1/completions" };
}

function commonSettings(body: Body, { sampling, settings, rounds }: OwnKeys): GenerateRequest {
  return {
    ...{ n: body.number("n"), ...sampling, ...settings },
    temperature: sampling.temperature ?? 1,
    logitBias: body.take("logit_bias") as GenerateRequest["logitBias"],
    seed: readSeed(body),
    stop: readStop(body),
    rounds: rounds || undefined,
  };
}

function readStreamOptions(body: Body): boolean {
  const value = body.take("stream_options");
  if (value === undefined) return false;
  const options = new Body(value, "stream_options", body);
  const includes = options.boolean("include_usage") ?? false;
  options.ignore("include_obfuscation");
  return includes;
}
