import type { AnswerRequest } from "../../answer/types.ts";
import { wholeIn, wrongKey } from "../../engine/request/request-values.ts";
import type { GenerateRequest } from "../../engine/types.ts";
import type { Body } from "../body.ts";
import { readMaxTokens } from "../common-keys.ts";

/** Default `max_tokens`, as in the API. */
const DEFAULT_MAX_TOKENS = 16;
const MAX_PROMPTS = 128;
/** The engine's limit of completions. */
const MAX_BEST_OF = 128;

/** The keys of /v1/completions that /v1/chat/completions has not. */
export function readCompletion(
  body: Body,
  common: GenerateRequest,
  isStreamed: boolean,
): Pick<AnswerRequest, "requests" | "isEmpty" | "echo" | "best"> {
  body.only("suffix", (value) => value === "", "Leave it out.");
  const echo = body.boolean("echo") ?? false;
  const maxTokens = readMaxTokens(body, "max_tokens") ?? DEFAULT_MAX_TOKENS;
  const logprobs = body.number("logprobs");
  const best = bestOf(body, common.n ?? 1, logprobs !== undefined, isStreamed);
  const isEmpty = maxTokens === 0;
  const settings = {
    ...common,
    n: best?.of ?? common.n,
    maxTokens: isEmpty ? 1 : maxTokens,
    logprobs: best === undefined ? logprobs : (logprobs ?? 0),
    promptLogprobs: echo ? logprobs : undefined,
  };
  return {
    requests: promptsOf(body.take("prompt")).map((prompt) => ({ ...settings, ...prompt })),
    ...{ isEmpty, echo },
    best: best === undefined ? undefined : { keep: best.keep, hasLogprobs: best.hasLogprobs },
  };
}

/** Undefined: all completions are wanted. */
function bestOf(body: Body, keep: number, hasLogprobs: boolean, isStreamed: boolean) {
  const of = wholeIn("best_of", body.take("best_of"), 1, MAX_BEST_OF);
  if (of === undefined || of === keep) return undefined;
  if (of < keep) throw wrongKey("best_of", `${of} is below n, which is ${keep}`, "Raise it, or leave it out.");
  if (isStreamed) throw wrongKey("best_of", "cannot be streamed", "Leave out stream.");
  return { of, keep, hasLogprobs };
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
