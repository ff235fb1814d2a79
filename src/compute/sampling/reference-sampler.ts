import type { Draw, Drawn } from "./draw.ts";
import type { Proposed, ProposalRequest } from "./proposal.ts";
import type { Sampler } from "./sampler.ts";
import type { SamplerSettings } from "./settings.ts";
import { drawFailure } from "./draw-failure.ts";
import { gumbel, noiseKey, Purpose } from "./philox.ts";
import { drawWithTrial, type Weights } from "./trial.ts";

/** Relative to the largest weight: far below what 32 bits of noise can draw, far above where float32 loses bits. */
const MIN_WEIGHT = 1e-30;

interface Candidate {
  readonly token: number;
  readonly score: number;
}

/** Descending score, then ascending id: the order of all comparisons. */
const before = (a: Candidate, b: Candidate) => b.score - a.score || a.token - b.token;

/** The sampler in plain TypeScript, in double: the reference of native/src/sampling/sampler.cpp. */
export class ReferenceSampler implements Sampler {
  readonly settings: SamplerSettings;
  readonly #inPrompt = new Set<number>();
  readonly #inOutput = new Map<number, number>();

  constructor(settings: SamplerSettings) {
    this.settings = settings;
  }

  prompt(tokens: Int32Array): void {
    for (const token of tokens) this.#inPrompt.add(token);
  }

  accept(token: number): void {
    this.#inOutput.set(token, (this.#inOutput.get(token) ?? 0) + 1);
  }

  /** Draws from logits [vocab]. */
  draw(logits: Float32Array, draw: Draw): Drawn {
    if (!logits.every(Number.isFinite)) return { token: -1, failure: drawFailure("not-finite", draw.position) };
    const token = this.#drawFrom(this.#kept(logits, undefined, draw), draw);
    if (token === undefined) return { token: -1, failure: drawFailure("nothing-allowed", draw.position) };
    if (this.settings.logprobs < 0) return { token };
    const largest = logits.reduce((a, b) => Math.max(a, b));
    const shift = largest + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - largest), 0));
    const top = Array.from(logits, (score, id) => ({ token: id, score }))
      .sort(before)
      .slice(0, this.settings.logprobs)
      .map(({ token: id, score }) => ({ token: id, logprob: score - shift }));
    return { token, logprob: (logits[token] as number) - shift, top };
  }

  /**
   * ForwardResult.propose from given candidates: `ids[i]`, or i without ids, has logits[i]. `purpose` of the noise for
   * rejection.
   */
  propose(
    logits: Float32Array,
    ids: Int32Array | undefined,
    request: Omit<ProposalRequest, "source" | "sampler">,
    purpose: Purpose = Purpose.proposal,
  ): Proposed {
    const { position, count, proposeFor } = request;
    const kept = this.#kept(logits, ids, request);
    if (proposeFor === "exact" || this.settings.temperature === 0) {
      const scored = this.#noisy(kept, position, Purpose.draw).sort(before);
      const tokens = Int32Array.from(scored.slice(0, count), ({ token }) => token);
      return { tokens, confidences: sharesOf(weightsOf(scored), tokens) };
    }
    const weights = weightsOf(kept);
    const drawable = kept.filter(({ token }) => weights.has(token));
    const drawn = this.#noisy(drawable, position, purpose).sort(before).slice(0, count);
    const tokens = Int32Array.from(drawn, ({ token }) => token);
    const all = Int32Array.from(weights.keys());
    const from = { tokens: all, probabilities: sharesOf(weights, all) };
    return { tokens, confidences: sharesOf(weights, tokens), from };
  }

  #drawFrom(kept: readonly Candidate[], { position, trial }: Draw): number | undefined {
    const { temperature, seed, choice } = this.settings;
    // At temperature 0 only one token can be drawn, whatever is tried.
    if (trial === undefined || temperature === 0 || kept.length === 0) {
      return this.#noisy(kept, position, Purpose.draw).sort(before)[0]?.token;
    }
    const key = (purpose: Purpose) => noiseKey(seed, position, choice, purpose);
    return drawWithTrial(weightsOf(kept), trial, key(Purpose.acceptance), key(Purpose.residual));
  }

  /** A logit with penalties and bias. */
  #adjusted(logit: number, token: number, unverified: readonly number[]): number {
    const { repetitionPenalty, presencePenalty, frequencyPenalty, logitBias } = this.settings;
    const output = (this.#inOutput.get(token) ?? 0) + unverified.filter((other) => other === token).length;
    let score = logit;
    if (output > 0 || this.#inPrompt.has(token)) {
      score = score > 0 ? score / repetitionPenalty : score * repetitionPenalty;
    }
    if (output > 0) score = score - presencePenalty - frequencyPenalty * output;
    score += logitBias.get(token) ?? 0;
    return score;
  }

  /** Candidates that can be drawn, with their scores after all settings. */
  #kept(
    logits: Float32Array,
    ids: Int32Array | undefined,
    { unverified, allowed }: Pick<Draw, "unverified" | "allowed">,
  ): Candidate[] {
    const { temperature, topK, topP, minP } = this.settings;
    const candidates: Candidate[] = [];
    logits.forEach((logit, i) => {
      const token = ids?.[i] ?? i;
      if (allowed !== undefined && (((allowed[token >> 5] ?? 0) >>> (token & 31)) & 1) === 0) return;
      const score = this.#adjusted(logit, token, unverified);
      if (score > Number.NEGATIVE_INFINITY) candidates.push({ token, score });
    });
    if (temperature === 0) return candidates;
    let kept = candidates.map(({ token, score }) => ({ token, score: score / temperature })).sort(before);
    if (topK > 0) kept = kept.slice(0, topK);
    const largest = kept[0]?.score ?? 0;
    const weight = ({ score }: Candidate) => Math.exp(score - largest);
    if (topP < 1) {
      const goal = topP * kept.reduce((sum, candidate) => sum + weight(candidate), 0);
      let reached = 0;
      let n = 0;
      for (const candidate of kept) {
        if (n > 0 && reached >= goal) break;
        reached += weight(candidate);
        n++;
      }
      kept = kept.slice(0, n);
    }
    return minP > 0 ? kept.filter((candidate) => weight(candidate) >= minP) : kept;
  }

  /** Adds the noise of a position; none at temperature 0. */
  #noisy(candidates: readonly Candidate[], position: number, purpose: Purpose): Candidate[] {
    const { temperature, seed, choice } = this.settings;
    if (temperature === 0) return [...candidates];
    const key = noiseKey(seed, position, choice, purpose);
    return candidates.map(({ token, score }) => ({ token, score: score + gumbel(key, token) }));
  }
}

/**
 * e^score, with a maximum of 1. Leaves out weights too small to be drawn, so that none is 0 (MIN_WEIGHT in
 * native/src/sampling/proposals.cpp).
 */
function weightsOf(candidates: readonly Candidate[]): Weights {
  const largest = candidates.reduce((max, { score }) => Math.max(max, score), Number.NEGATIVE_INFINITY);
  const weights: Weights = new Map();
  for (const { token, score } of candidates) {
    const weight = Math.exp(score - largest);
    if (weight >= MIN_WEIGHT) weights.set(token, weight);
  }
  return weights;
}

function sharesOf(weights: Weights, tokens: Int32Array): Float32Array {
  const total = [...weights.values()].reduce((a, b) => a + b, 0);
  return Float32Array.from(tokens, (token) => (weights.get(token) ?? 0) / total);
}
