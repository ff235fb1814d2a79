import { ln, power } from "../../compute/elementary.ts";
import type { RopeConfig } from "./config.ts";

/**
 * Frequencies of the rotary embedding, [headDim / 2] in radians per position, and the factor of cos and sin. Computed with
 * fixed polynomials, because they affect the bits of logits. Sources: RoFormer (arXiv 2104.09864); transformers'
 * `modeling_rope_utils.py` for the scalings.
 */
export function ropeFrequencies(
  rope: RopeConfig,
  headDim: number,
): { readonly inverseFrequencies: Float64Array; readonly attentionFactor: number } {
  const frequencies = Float64Array.from({ length: headDim / 2 }, (_, i) => power(rope.theta, (-2 * i) / headDim));
  switch (rope.kind) {
    case "default":
      return { inverseFrequencies: frequencies, attentionFactor: 1 };
    case "linear":
      return { inverseFrequencies: frequencies.map((f) => f / rope.factor), attentionFactor: 1 };
    case "divisors":
      return { inverseFrequencies: frequencies.map((f, i) => f / (rope.divisors[i] ?? 1)), attentionFactor: 1 };
    case "llama3": {
      const { factor, lowFrequencyFactor: low, highFrequencyFactor: high } = rope;
      const scaled = frequencies.map((f) => {
        const turns = (rope.originalContext * f) / (2 * Math.PI);
        const kept = clamp((turns - low) / (high - low));
        return f * (kept + (1 - kept) / factor);
      });
      return { inverseFrequencies: scaled, attentionFactor: 1 };
    }
    case "yarn": {
      const dimension = (turns: number) =>
        (headDim * ln(rope.originalContext / (turns * 2 * Math.PI))) / (2 * ln(rope.theta));
      const whole = (value: number, round: (x: number) => number) => (rope.truncate ? round(value) : value);
      const first = Math.max(whole(dimension(rope.betaFast), Math.floor), 0);
      const last = Math.min(whole(dimension(rope.betaSlow), Math.ceil), headDim - 1);
      const scaled = frequencies.map((f, i) => {
        const ramp = clamp((i - first) / Math.max(last - first, 0.001));
        return f * (ramp / rope.factor + (1 - ramp));
      });
      const attentionFactor = rope.attentionFactor ?? yarnAttentionFactor(rope.factor);
      return { inverseFrequencies: scaled, attentionFactor };
    }
  }
}

/** YaRN's default factor of cos and sin (arXiv 2309.00071, section 3.4). */
export function yarnAttentionFactor(factor: number): number {
  return factor <= 1 ? 1 : 0.1 * ln(factor) + 1;
}

function clamp(x: number): number {
  return Math.min(Math.max(x, 0), 1);
}
