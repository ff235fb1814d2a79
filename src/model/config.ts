import { IdlmError } from "../errors.ts";

/** What makes one model of the Llama, Qwen2 and Qwen3 families differ from another. */
export interface ModelConfig {
  readonly architecture: "llama" | "qwen2" | "qwen3";
  readonly nLayers: number;
  readonly hiddenSize: number;
  readonly nHeads: number;
  /** Divides nHeads: grouped-query attention. */
  readonly nKvHeads: number;
  readonly headDim: number;
  readonly mlpSize: number;
  readonly vocabSize: number;
  /** Added to the mean square of a norm. */
  readonly normEpsilon: number;
  /** Biases of q, k and v (Qwen2). */
  readonly hasQkvBias: boolean;
  /** Norms of each head of q and k (Qwen3). */
  readonly hasQkNorm: boolean;
  /** The output matrix is the embedding. */
  readonly isTied: boolean;
  /** Positions that the model was made for. */
  readonly contextLength: number;
  readonly rope: RopeConfig;
}

/** Rotary position embedding: base frequency and how it is stretched beyond the trained context. */
export type RopeConfig = { readonly theta: number } & RopeScaling;

export type RopeScaling =
  | { readonly kind: "default" }
  /** Position interpolation (arXiv 2306.15595): frequencies ÷ factor. */
  | { readonly kind: "linear"; readonly factor: number }
  /** Llama 3.1: long wavelengths ÷ factor, short ones kept, a ramp between. */
  | {
      readonly kind: "llama3";
      readonly factor: number;
      readonly lowFrequencyFactor: number;
      readonly highFrequencyFactor: number;
      readonly originalContext: number;
    }
  /** YaRN (arXiv 2309.00071): a ramp over dimensions, and a factor of attention. */
  | {
      readonly kind: "yarn";
      readonly factor: number;
      readonly originalContext: number;
      readonly betaFast: number;
      readonly betaSlow: number;
      /** Multiplies cos and sin; undefined: 0.1 · ln factor + 1. */
      readonly attentionFactor: number | undefined;
      /** Whether the ramp's ends are rounded to whole dimensions. */
      readonly truncate: boolean;
    }
  /** GGUF's tensor rope_freqs.weight: each frequency ÷ its divisor. */
  | { readonly kind: "divisors"; readonly divisors: Float32Array };

/** Sizes beyond these are a damaged file, and would make later products of sizes overflow. */
const limits = {
  nLayers: 1024,
  hiddenSize: 65_536,
  nHeads: 1024,
  nKvHeads: 1024,
  headDim: 1024,
  mlpSize: 1 << 20,
  vocabSize: 1 << 22,
  contextLength: 1 << 28,
} as const;

/** Checks ranges and that the sizes fit together. @throws IdlmError "file-malformed" naming the field in `path`. */
export function checkConfig(config: ModelConfig, path: string): ModelConfig {
  const wrong = (field: string, expected: string, found: string | number) =>
    new IdlmError("file-malformed", { path, field, expected, found });
  for (const [name, limit] of Object.entries(limits) as [keyof typeof limits, number][]) {
    const value = config[name];
    if (!Number.isInteger(value) || value < 1 || value > limit) {
      throw wrong(name, `a whole number from 1 to ${limit}`, value);
    }
  }
  if (config.nHeads % config.nKvHeads !== 0) {
    throw wrong("nKvHeads", `a divisor of the ${config.nHeads} heads`, config.nKvHeads);
  }
  if (config.headDim % 2 !== 0) throw wrong("headDim", "an even number", config.headDim);
  if (!(config.normEpsilon > 0 && config.normEpsilon < 1)) {
    throw wrong("normEpsilon", "a number between 0 and 1", config.normEpsilon);
  }
  if (!(config.rope.theta > 0 && config.rope.theta < 1e15)) {
    throw wrong("rope theta", "a number between 0 and 1e15", config.rope.theta);
  }
  const { rope } = config;
  for (const [name, value] of Object.entries(rope)) {
    if (typeof value !== "number") continue;
    if (!(Number.isFinite(value) && value > 0)) throw wrong(`rope ${name}`, "a number above 0", value);
  }
  if (rope.kind === "divisors") {
    if (rope.divisors.length !== config.headDim / 2) {
      throw wrong("rope_freqs.weight", `${config.headDim / 2} divisors`, rope.divisors.length);
    }
    if (!rope.divisors.every((d) => Number.isFinite(d) && d > 0)) {
      throw wrong("rope_freqs.weight", "numbers above 0", "another");
    }
  }
  return config;
}
