import type { SparseDistribution, Trial } from "./draw.ts";
import { gumbel, type NoiseKey, uniform } from "./philox.ts";

/** Unnormalised probabilities by token; others have none. */
export type Weights = Map<number, number>;

/**
 * Draws from a distribution p with a `Trial`: recursive rejection sampling without replacement (RSD, Jeon et al., arXiv
 * 2402.14160, section 3), in double. The reference of native/src/sampling/proposals.cpp. `weights` must not be empty.
 */
export function drawWithTrial(weights: Weights, trial: Trial, acceptance: NoiseKey, residual: NoiseKey): number {
  let left: Weights = weights;
  const tried = new Set<number>();
  for (const [i, token] of trial.tokens.entries()) {
    const total = sumOf(left);
    if (!(total > 0)) break;
    const q = remaining(trial.from[i], token, tried);
    const ratio = (left.get(token) ?? 0) / total / (trial.tau * (q.get(token) as number));
    if (uniform(acceptance, token) < ratio) return token;
    // Tokens that q does not cover keep their weight. The rejected token's becomes 0: its ratio was below 1.
    left = new Map([...left].map(([id, weight]) => [id, Math.max(0, weight - total * (q.get(id) ?? 0))]));
    left.set(token, 0);
    tried.add(token);
  }
  // Nothing is left if p = q up to rounding, and the token was rejected by the last bit: a draw from p is as good.
  return likeliest(left, residual) ?? (likeliest(weights, residual) as number);
}

/** Distribution of a token after removing those tried before it. */
function remaining(from: SparseDistribution | undefined, token: number, tried: ReadonlySet<number>): Weights {
  if (from === undefined) return new Map([[token, 1]]);
  const q: Weights = new Map();
  from.tokens.forEach((id, i) => {
    if (!tried.has(id)) q.set(id, from.probabilities[i] as number);
  });
  const total = sumOf(q);
  return new Map([...q].map(([id, probability]) => [id, probability / total]));
}

function sumOf(weights: Weights): number {
  let sum = 0;
  for (const weight of weights.values()) sum += weight;
  return sum;
}

/** A draw by Gumbel noise; undefined if every weight is 0. */
function likeliest(weights: Weights, key: NoiseKey): number | undefined {
  let best: number | undefined;
  let largest = Number.NEGATIVE_INFINITY;
  for (const [token, weight] of weights) {
    const score = Math.log(weight) + gumbel(key, token);
    if (score > largest || (score === largest && token < (best ?? 0))) [best, largest] = [token, score];
  }
  return best;
}
