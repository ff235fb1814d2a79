import type { Draw, Drawn, Sampler, SamplerSettings } from "../backend.ts";
import { drawFailure } from "./draw-failure.ts";
import { gumbel, noiseKey, Purpose } from "./philox.ts";

interface Candidate {
  readonly token: number;
  readonly score: number;
}

/** Descending score, then ascending id: the order of every choice. */
const before = (a: Candidate, b: Candidate) => b.score - a.score || a.token - b.token;

/** The sampler in plain TypeScript: what native/src/sampler.cpp does, in double. */
export class ReferenceSampler implements Sampler {
  readonly settings: SamplerSettings;
  readonly #inPrompt = new Set<number>();
  readonly #inOutput = new Map<number, number>();
  #mask: Uint32Array | undefined;

  constructor(settings: SamplerSettings) {
    this.settings = settings;
  }

  prompt(tokens: Int32Array): void {
    for (const token of tokens) this.#inPrompt.add(token);
  }

  accept(token: number): void {
    this.#inOutput.set(token, (this.#inOutput.get(token) ?? 0) + 1);
  }

  allow(mask: Uint32Array | undefined): void {
    this.#mask = mask?.slice();
  }

  dispose(): void {}

  /** Draws from logits [vocab] in id order. */
  draw(logits: Float32Array, draw: Draw): Drawn {
    if (!logits.every(Number.isFinite)) return { token: -1, failure: drawFailure("not-finite", draw.position) };
    const candidates: Candidate[] = [];
    logits.forEach((logit, token) => {
      const score = this.#adjusted(logit, token, draw.extra);
      if (score > Number.NEGATIVE_INFINITY) candidates.push({ token, score });
    });
    const [chosen] = this.#choose(candidates, draw, 1);
    if (chosen === undefined) return { token: -1, failure: drawFailure("nothing-allowed", draw.position) };
    if (this.settings.logprobs < 0) return { token: chosen };
    const largest = logits.reduce((a, b) => Math.max(a, b));
    const shift = largest + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - largest), 0));
    const top = Array.from(logits, (score, token) => ({ token, score }))
      .sort(before)
      .slice(0, this.settings.logprobs)
      .map(({ token, score }) => ({ token, logprob: score - shift }));
    return { token: chosen, logprob: (logits[chosen] as number) - shift, top };
  }

  /** The best of some candidates (`ids[i]`, or i, has logits[i]) by the same settings and noise, best first. */
  proposeFrom(logits: Float32Array, ids: Int32Array | undefined, draw: Draw, count: number): Int32Array {
    const candidates = Array.from(logits, (logit, i) => {
      const token = ids?.[i] ?? i;
      return { token, score: this.#adjusted(logit, token, draw.extra) };
    }).filter(({ score }) => score > Number.NEGATIVE_INFINITY);
    return Int32Array.from(this.#choose(candidates, draw, count));
  }

  /** Penalties, bias, mask. */
  #adjusted(logit: number, token: number, extra: readonly number[]): number {
    const { repetitionPenalty, presencePenalty, frequencyPenalty, logitBias } = this.settings;
    const output = (this.#inOutput.get(token) ?? 0) + extra.filter((other) => other === token).length;
    let score = logit;
    if (output > 0 || this.#inPrompt.has(token)) {
      score = score > 0 ? score / repetitionPenalty : score * repetitionPenalty;
    }
    if (output > 0) score = score - presencePenalty - frequencyPenalty * output;
    score += logitBias.get(token) ?? 0;
    const isAllowed = this.#mask === undefined || (((this.#mask[token >> 5] ?? 0) >>> (token & 31)) & 1) === 1;
    return isAllowed ? score : Number.NEGATIVE_INFINITY;
  }

  /** Temperature, top-k, top-p, min-p, noise: the `count` best tokens, best first. */
  #choose(candidates: Candidate[], { position }: Draw, count: number): number[] {
    const { temperature, topK, topP, minP, seed, choice } = this.settings;
    const best = (list: Candidate[]) =>
      [...list]
        .sort(before)
        .slice(0, count)
        .map(({ token }) => token);
    if (temperature === 0) return best(candidates);
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
    if (minP > 0) kept = kept.filter((candidate) => weight(candidate) >= minP);
    const key = noiseKey(seed, position, choice, Purpose.draw);
    return best(kept.map(({ token, score }) => ({ token, score: score + gumbel(key, token) })));
  }
}
