import type { Draw } from "./draw.ts";

/**
 * A draw whose only allowed token is `token`, for its log-probability: with a sampler of neutral settings that reports
 * log-probabilities.
 */
export function scoredDraw(
  token: number,
  { row, sampler, position }: Pick<Draw, "row" | "sampler" | "position">,
): Draw {
  const allowed = new Uint32Array((token >>> 5) + 1);
  allowed[token >>> 5] = 1 << (token & 31);
  return { row, sampler, position, unverified: [], allowed };
}
