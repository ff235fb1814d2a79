import { errorCatalogue, IdlmError, type KeyNames } from "../errors.ts";
import type { Choice, GenerationResult, TextTokenizer } from "../engine/types.ts";
import { chatLogprobs, completionLogprobs } from "./logprobs.ts";
import type { Endpoint } from "./request.ts";

/** What a response is made with. */
export interface ResponseContext {
  /** Without prefix; the same id for the same request makes the response the same. */
  readonly id: string;
  /** As it was asked for. */
  readonly model: string;
  /** Seconds since 1970. */
  readonly created: number;
  readonly tokenizer: TextTokenizer | undefined;
}

/** The object that answers a request that does not stream. `results`: one for each of its prompts, in order. */
export function openAiResponse(endpoint: Endpoint, results: readonly GenerationResult[], context: ResponseContext) {
  const { id, model, created, tokenizer } = context;
  const isChat = endpoint === "chat";
  const choices = results.flatMap(allChoices).map((choice, index) => {
    const { text, logprobs, finishReason } = choice;
    const common = { index, finish_reason: finishReason };
    if (isChat) {
      const message = { role: "assistant", content: text, refusal: null };
      return { ...common, message, logprobs: logprobs === undefined ? null : chatLogprobs(logprobs, tokenizer) };
    }
    return { ...common, text, logprobs: logprobs === undefined ? null : completionLogprobs(logprobs, tokenizer) };
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
    // Not of the API: whether the text is what the model alone would have written.
    idlm: { verify: first?.verify, lossless: results.every(({ lossless }) => lossless) },
  };
}

/** The body that answers a request that went wrong, and its HTTP status. `names`: as the request calls its keys. */
export function openAiError(error: unknown, names: KeyNames): { readonly status: number; readonly body: unknown } {
  const code = error instanceof IdlmError ? error.code : "unexpected";
  const exit = error instanceof IdlmError ? errorCatalogue[error.code].exit : undefined;
  const isTheirs = exit === errorCatalogue.usage.exit || code === "context-too-long" || code === "stride-too-long";
  const status = isTheirs ? 400 : code === "queue-full" ? 429 : 500;
  const type = isTheirs ? "invalid_request_error" : code === "queue-full" ? "rate_limit_error" : "server_error";
  const message =
    error instanceof IdlmError ? error.messageWith(names) : error instanceof Error ? error.message : String(error);
  return { status, body: { error: { message, type, param: null, code } } };
}

export function allChoices(result: GenerationResult): readonly Omit<Choice, "index">[] {
  return result.choices ?? [result];
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
