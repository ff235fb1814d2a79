import { IdlmError } from "../../errors.ts";
import type { Draw } from "./draw.ts";

/** Validates the draws of a forward, for all backends. @throws IdlmError "usage" with the position and the problem. */
export function validateDraws(draws: readonly Draw[], vocabSize: number): void {
  for (const draw of draws) {
    const problem = trialProblem(draw, vocabSize);
    if (problem === undefined) continue;
    throw new IdlmError("usage", {
      problem: `the trial at position ${draw.position}: ${problem}`,
      hint: "Correct the trial.",
    });
  }
}

/** Problem of a trial: a proposal outside of its own distribution would always be accepted. */
function trialProblem({ trial }: Draw, vocabSize: number): string | undefined {
  if (trial === undefined) return undefined;
  const { tokens, from, tau } = trial;
  if (!(tau > 0 && tau <= 1)) return `tau ${tau} is not within (0, 1]`;
  if (from.length !== tokens.length) return `${tokens.length} tokens from ${from.length} distributions`;
  for (const [i, token] of tokens.entries()) {
    if (!Number.isInteger(token) || token < 0 || token >= vocabSize) return `token ${token} is not in the vocabulary`;
    if (tokens.indexOf(token) !== i) return `token ${token} is tried twice`;
    const distribution = from[i];
    if (distribution === undefined) continue;
    const { tokens: ids, probabilities } = distribution;
    if (ids.length !== probabilities.length) return `${ids.length} tokens with ${probabilities.length} probabilities`;
    if (!probabilities.every((p) => p >= 0 && p <= 1)) return "a probability is not within 0 to 1";
    const at = ids.indexOf(token);
    if (at < 0 || probabilities[at] === 0) return `token ${token} has no probability in what it was drawn from`;
  }
  return undefined;
}
