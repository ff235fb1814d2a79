import { answer } from "../answer/answer.ts";
import { allChoices } from "../answer/best-of.ts";
import type { Answer, AnswerRequest, RunningAnswer } from "../answer/types.ts";
import type { GenerationResult } from "../engine/types.ts";
import type { Exchange } from "./exchange.ts";
import type { ServedModel } from "./models/models.ts";

/** Starts to answer a request, in the share of its key, until its client has gone. @throws what `answer` throws. */
export function startAnswer(exchange: Exchange, { name, model }: ServedModel, request: AnswerRequest): RunningAnswer {
  const { share, signal } = exchange;
  exchange.names = request.names;
  exchange.model = name;
  const running = answer(model, { ...request, requests: request.requests.map((one) => ({ ...one, share })) }, signal);
  running.done.then(
    ({ results }) => exchange.spend(results.reduce((sum, result) => sum + tokensOf(result), 0)),
    () => {},
  );
  return running;
}

/** Tokens of a prompt and its completions. */
function tokensOf(result: GenerationResult): number {
  return allChoices(result).reduce((sum, { tokens }) => sum + tokens.length, result.promptTokens);
}

/** The whole answer. @throws the reason for which it was cancelled, instead of what there was of it. */
export async function wholeAnswer({ signal }: Exchange, { done }: RunningAnswer): Promise<Answer> {
  const whole = await done;
  signal.throwIfAborted();
  return whole;
}
