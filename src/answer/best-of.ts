import type { Choice, GenerationResult } from "../engine/types.ts";
import type { AnswerRequest } from "./types.ts";

type Completion = Omit<Choice, "index">;

/** All completions of a result. */
export function allChoices(result: GenerationResult): readonly Completion[] {
  return result.choices ?? [result];
}

/** The completions of a result that an answer has: all of them, or those of highest log-probability per token. */
export function bestOf(result: GenerationResult, { best }: AnswerRequest): readonly Completion[] {
  const all = allChoices(result);
  if (best === undefined) return all;
  const ranked = all.map((completion) => ({ completion, mean: meanLogprob(completion) }));
  // Stable: the first of equal ones.
  const kept = ranked.sort((a, b) => b.mean - a.mean).slice(0, best.keep);
  return kept.map(({ completion }) => {
    if (best.hasLogprobs) return completion;
    const { logprobs: _, endLogprobs: __, ...rest } = completion;
    return rest;
  });
}

/** With the end token. -Infinity for no tokens at all. */
function meanLogprob({ logprobs = [], endLogprobs }: Completion): number {
  const all = endLogprobs === undefined ? logprobs : [...logprobs, endLogprobs];
  if (all.length === 0) return Number.NEGATIVE_INFINITY;
  return all.reduce((sum, { logprob }) => sum + logprob, 0) / all.length;
}
