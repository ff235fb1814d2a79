import type { Generation, Model, ScoredToken } from "../engine/types.ts";
import type { AnswerRequest, EchoedPrompt } from "./types.ts";

/**
 * The prompts of a request that wants them back, with their log-probabilities if it wants those: the ones that
 * `Model.score` gives.
 */
export function echoedPrompts(
  model: Model,
  { requests, echo }: AnswerRequest,
  generations: readonly Generation[],
  signal: AbortSignal,
): readonly Promise<EchoedPrompt>[] {
  if (echo === undefined) return [];
  return generations.map(({ promptIds }, i) => {
    const echoed = (async (): Promise<EchoedPrompt> => {
      const ids = await promptIds;
      const text = requests[i]?.prompt ?? model.tokenizer?.decode(ids) ?? "";
      if (echo.logprobs === undefined) return { text, ids };
      return { text, ids, logprobs: await scored(model, ids, echo.logprobs, signal) };
    })();
    echoed.catch(() => {});
    return echoed;
  });
}

async function scored(
  model: Model,
  ids: readonly number[],
  logprobs: number,
  signal: AbortSignal,
): Promise<readonly ScoredToken[]> {
  // Nothing predicts the first token.
  const unscored = ids.map((token) => ({ token, logprob: undefined, top: [] }));
  if (ids.length < 2 || signal.aborted) return unscored;
  try {
    return (await model.score({ ids, logprobs, signal, context: ids.length })).tokens;
  } catch (error) {
    // A cancelled answer has what there is of it.
    if (signal.aborted) return unscored;
    throw error;
  }
}
