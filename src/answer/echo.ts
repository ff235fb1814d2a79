import type { Generation, Model } from "../engine/types.ts";
import type { AnswerRequest, EchoedPrompt } from "./types.ts";

/** The prompts of a request that wants them back, with their log-probabilities if it wants those. */
export function echoedPrompts(
  model: Model,
  { requests, echo }: AnswerRequest,
  generations: readonly Generation[],
): readonly Promise<EchoedPrompt>[] {
  if (echo !== true) return [];
  return generations.map(({ promptIds, promptLogprobs }, i) => {
    const echoed = (async (): Promise<EchoedPrompt> => {
      const ids = await promptIds;
      const text = requests[i]?.prompt ?? model.tokenizer?.decode(ids) ?? "";
      if (requests[i]?.promptLogprobs === undefined) return { text, ids };
      const scored = await promptLogprobs;
      // A cancelled answer has what there is of it.
      const isCancelled = scored.length === 0;
      return {
        text,
        ids,
        logprobs: isCancelled ? ids.map((token) => ({ token, logprob: undefined, top: [] })) : scored,
      };
    })();
    echoed.catch(() => {});
    return echoed;
  });
}
