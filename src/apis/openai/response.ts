import { type ErrorCode, IdlmError, type KeyNames } from "../../errors.ts";
import type { Answer, AnsweredChoice, AnswerFinishReason, EchoedPrompt, ToolCall } from "../../answer/types.ts";
import type { GenerationResult, TextTokenizer } from "../../engine/types.ts";
import { allChoices } from "../../answer/best-of.ts";
import { chatLogprobs, completionLogprobs } from "./logprobs.ts";
import { extensionBody } from "../extension.ts";
import type { OpenAiRequest } from "./request.ts";

/** Fields of a response that do not come from its results. */
export interface ResponseContext {
  /** Without prefix. The same id for the same request yields the same response. */
  readonly id: string;
  /** As named in the request. */
  readonly model: string;
  /** Seconds since 1970. */
  readonly created: number;
  readonly tokenizer: TextTokenizer | undefined;
  readonly numerics: number;
}

/** The response to a request without streaming. */
export function openAiResponse(request: OpenAiRequest, answer: Answer, context: ResponseContext) {
  const { results, choices, prompts } = answer;
  const isChat = request.endpoint === "chat";
  return {
    ...headOf(request, context, isChat ? "chat.completion" : "text_completion"),
    choices: choices.map((choice) => {
      return isChat ? chatChoice(choice, context) : completionChoice(choice, prompts?.[choice.prompt], context);
    }),
    usage: usageOf(results),
    idlm: extensionBody(request, answer),
  };
}

/** The fields that a response begins with, and every chunk of a stream. */
export function headOf({ endpoint }: OpenAiRequest, { id, created, model, numerics }: ResponseContext, object: string) {
  return {
    id: `${endpoint === "chat" ? "chatcmpl" : "cmpl"}-${id}`,
    ...{ object, created, model, system_fingerprint: `idlm-numerics-${numerics}` },
  };
}

function chatChoice(choice: AnsweredChoice, { tokenizer }: ResponseContext) {
  const { index, text, reasoning, toolCalls, finishReason, completion } = choice;
  const { logprobs } = completion;
  const hasCalls = toolCalls.length > 0;
  return {
    index,
    finish_reason: finishReasonOf(finishReason),
    message: {
      ...{ role: "assistant", content: text === "" && hasCalls ? null : text, refusal: null },
      annotations: [],
      ...(reasoning !== undefined && { reasoning_content: reasoning }),
      ...(hasCalls && { tool_calls: toolCalls.map(callOf) }),
    },
    logprobs: logprobs === undefined ? null : chatLogprobs(logprobs, tokenizer),
  };
}

function callOf({ id, name, arguments: text }: ToolCall) {
  return { id, type: "function", function: { name, arguments: text } };
}

function completionChoice(
  { index, text: generated, finishReason, completion }: AnsweredChoice,
  prompt: EchoedPrompt | undefined,
  { tokenizer }: ResponseContext,
) {
  const { logprobs, endLogprobs } = completion;
  const text = (prompt?.text ?? "") + generated;
  const all = endLogprobs === undefined ? logprobs : [...(logprobs ?? []), endLogprobs];
  return {
    ...{ index, finish_reason: finishReasonOf(finishReason), text },
    logprobs: all === undefined ? null : completionLogprobs(all, tokenizer, text, prompt),
  };
}

/** The API has no word for an output that was cut by the server's time limit. */
export function finishReasonOf(reason: AnswerFinishReason): "stop" | "length" | "tool_calls" {
  return reason === "cancelled" ? "length" : reason;
}

const SERVER_ERROR = 500;

/** HTTP status and body of the response to a failed request. `names`: the request's names of keys. */
export function openAiError(error: unknown, names: KeyNames): { readonly status: number; readonly body: unknown } {
  if (error instanceof IdlmError) {
    const [status, param] = [error.httpStatus, error.fieldWith(names) ?? null];
    const code = codes[error.code] ?? error.code.replaceAll("-", "_");
    return { status, body: { error: { message: error.messageWith(names), type: errorType(status), param, code } } };
  }
  const message = error instanceof Error ? error.message : String(error);
  return { status: SERVER_ERROR, body: { error: { message, type: "server_error", param: null, code: "unexpected" } } };
}

/** The API's codes, where they are not the catalogue's. */
const codes: Readonly<Partial<Record<ErrorCode, string>>> = {
  "context-too-long": "context_length_exceeded",
  "queue-full": "rate_limit_exceeded",
  "rate-limited": "rate_limit_exceeded",
  unauthorized: "invalid_api_key",
};

/** The API's type of an error. */
function errorType(status: number): string {
  if (status === 429) return "rate_limit_error";
  return status < SERVER_ERROR ? "invalid_request_error" : "server_error";
}

export function usageOf(results: readonly GenerationResult[]) {
  const sum = (of: (result: GenerationResult) => number) => results.reduce((total, result) => total + of(result), 0);
  const prompt = sum(({ promptTokens }) => promptTokens);
  const completion = sum((result) => allChoices(result).reduce((total, { tokens }) => total + tokens.length, 0));
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    prompt_tokens_details: { cached_tokens: sum(({ cachedTokens }) => cachedTokens) },
    completion_tokens_details: {
      accepted_prediction_tokens: sum(({ prediction }) => prediction?.accepted ?? 0),
      rejected_prediction_tokens: sum(({ prediction }) => prediction?.rejected ?? 0),
    },
  };
}
