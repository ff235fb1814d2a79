import type { MessageFormat } from "../../answer/types.ts";
import { wrongKey } from "../../engine/request/request-values.ts";
import type { GenerateRequest } from "../../engine/types.ts";
import { Body } from "../body.ts";
import { readMaxTokens, readTopLogprobs } from "../common-keys.ts";
import { effortArguments, templateArguments } from "../template-arguments.ts";
import { toolFormat, toolSettings } from "../tool-settings.ts";
import { messagesOf, textOf } from "./messages.ts";
import { readTools } from "./tools.ts";

/** The keys of /v1/chat/completions that /v1/completions has not. */
export function readChat(body: Body): { readonly asked: GenerateRequest; readonly format: MessageFormat } {
  const format = toolFormat(readTools(body));
  const [older, newer] = [readMaxTokens(body, "max_tokens"), readMaxTokens(body, "max_completion_tokens")];
  const asked = {
    messages: messagesOf(body),
    ...toolSettings(format.tools),
    // Templates take of these what they know.
    templateArguments: templateArguments(body, effortArguments(body.string("reasoning_effort"))),
    addGenerationPrompt: body.boolean("add_generation_prompt"),
    continueFinalMessage: body.boolean("continue_final_message"),
    maxTokens: newer ?? older,
    logprobs: logprobsOf(body),
    predict: predictionOf(body),
  };
  return { asked, format };
}

function logprobsOf(body: Body): number | undefined {
  const logprobs = body.boolean("logprobs") ?? false;
  const top = readTopLogprobs(body);
  // Some clients send 0 for none.
  if (top !== undefined && top > 0 && !logprobs) {
    throw wrongKey("top_logprobs", "requires logprobs", "Set logprobs to true.");
  }
  return logprobs ? (top ?? 0) : undefined;
}

function predictionOf(body: Body): string | undefined {
  const value = body.take("prediction");
  if (value === undefined) return undefined;
  const prediction = new Body(value, "prediction", body);
  if (prediction.take("type") !== "content") throw wrongKey("prediction.type", 'expected "content"');
  return textOf(prediction.take("content"), prediction.at("content"), prediction);
}
