import { IdlmError, type KeyNames } from "../../errors.ts";
import type { Answer } from "../../answer/types.ts";
import type { GenerationResult, TextTokenizer } from "../../engine/types.ts";
import { allChoices } from "../../answer/answer.ts";
import { chatLogprobs, completionLogprobs } from "./logprobs.ts";
import type { Endpoint } from "./request.ts";

/** Fields of a response that do not come from its results. */
export interface ResponseContext {
  /** Without prefix. The same id for the same request yields the same response. */
  readonly id: string;
  /** As named in the request. */
  readonly model: string;
  /** Seconds since 1970. */
  readonly created: number;
  readonly tokenizer: TextTokenizer | undefined;
}

/** The response to a request without streaming. */
export function openAiResponse(endpoint: Endpoint, answer: Answer, context: ResponseContext) {
  const { id, model, created, tokenizer } = context;
  const isChat = endpoint === "chat";
  const { results } = answer;
  const choices = answer.choices.map(({ index, text, finishReason, completion: { logprobs } }) => {
    const common = { index, finish_reason: finishReason };
    if (isChat) {
      const message = { role: "assistant", content: text, refusal: null };
      return { ...common, message, logprobs: logprobs === undefined ? null : chatLogprobs(logprobs, tokenizer) };
    }
    return { ...common, text, logprobs: logprobs === undefined ? null : completionLogprobs(logprobs, tokenizer, text) };
  });
  const [first] = results;
  return {
    id: `${isChat ? "chatcmpl" : "cmpl"}-${id}`,
    object: isChat ? "chat.completion" : "text_completion",
    created,
    model,
    system_fingerprint: `idlm-numerics-${first?.numerics ?? 0}`,
    choices,
    usage: usageOf(results),
    // An extension of the API: whether the output is that of plain decoding.
    idlm: { verify: first?.verify, lossless: results.every(({ lossless }) => lossless) },
  };
}

const SERVER_ERROR = 500;

/** HTTP status and body of the response to a failed request. `names`: the request's names of keys. */
export function openAiError(error: unknown, names: KeyNames): { readonly status: number; readonly body: unknown } {
  if (error instanceof IdlmError) {
    const [status, param] = [error.httpStatus, error.fieldWith(names) ?? null];
    return {
      status,
      body: { error: { message: error.messageWith(names), type: errorType(status), param, code: error.code } },
    };
  }
  const message = error instanceof Error ? error.message : String(error);
  return { status: SERVER_ERROR, body: { error: { message, type: "server_error", param: null, code: "unexpected" } } };
}

/** The API's type of an error. */
function errorType(status: number): string {
  if (status === 429) return "rate_limit_error";
  return status < SERVER_ERROR ? "invalid_request_error" : "server_error";
}

function usageOf(results: readonly GenerationResult[]) {
  const sum = (of: (result: GenerationResult) => number) => results.reduce((total, result) => total + of(result), 0);
  const prompt = sum(({ promptTokens }) => promptTokens);
  const completion = sum((result) => allChoices(result).reduce((total, { tokens }) => total + tokens.length, 0));
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    prompt_tokens_details: { cached_tokens: sum(({ cachedTokens }) => cachedTokens) },
  };
}
