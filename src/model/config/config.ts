import { malformed } from "../../formats/files/malformed.ts";

/** Configuration of a model of the Llama, Qwen2 and Qwen3 families. */
export interface ModelConfig {
  readonly architecture: "llama" | "qwen2" | "qwen3";
  readonly nLayers: number;
  readonly hiddenSize: number;
  readonly nHeads: number;
  /** A divisor of nHeads (grouped-query attention). */
  readonly nKvHeads: number;
  readonly headDim: number;
  readonly mlpSize: number;
  readonly vocabSize: number;
  /** Added to the mean square in RMS norms. */
  readonly normEpsilon: number;
  /** Biases of q, k and v (Qwen2). */
  readonly hasQkvBias: boolean;
  /** Norms of each head of q and k (Qwen3). */
  readonly hasQkNorm: boolean;
  /** Whether the output matrix is the embedding. */
  readonly isTied: boolean;
  /** Positions that the model was trained for. */
  readonly contextLength: number;
  readonly rope: RopeConfig;
  /** Id of the token that MASK rows are fed, for models that are trained with one (I-DLM). */
  readonly maskToken?: number;
  /** By layer: the last positions that a row sees, itself included. Undefined: all, here or for the whole model. */
  readonly slidingWindows?: readonly (number | undefined)[];
}

/** Rotary position embedding: base frequency, and scaling beyond the trained context. */
export type RopeConfig = { readonly theta: number } & RopeScaling;

export type RopeScaling =
  | { readonly kind: "default" }
  /** Position interpolation (arXiv 2306.15595): frequencies ÷ factor. */
  | { readonly kind: "linear"; readonly factor: number }
  /** Llama 3.1: low frequencies ÷ factor, high ones unchanged, a ramp between. */
  | {
      readonly kind: "llama3";
      readonly factor: number;
      readonly lowFrequencyFactor: number;
      readonly highFrequencyFactor: number;
      readonly originalContext: number;
    }
  /** YaRN (arXiv 2309.00071): a ramp over dimensions, and an attention factor. */
  | {
      readonly kind: "yarn";
      readonly factor: number;
      readonly originalContext: number;
      readonly betaFast: number;
      readonly betaSlow: number;
      /** Factor of cos and sin; undefined: 0.1 · ln factor + 1. */
      readonly attentionFactor: number | undefined;
      /** Whether the ramp's ends are rounded to whole dimensions. */
      readonly truncate: boolean;
    }
  /** GGUF's tensor rope_freqs.weight: each frequency ÷ its divisor. */
  | { readonly kind: "divisors"; readonly divisors: Float32Array };

/** Names of the config's fields in a file, for error messages. */
export interface ConfigFields extends Readonly<Record<keyof typeof limits | "normEpsilon", string>> {
  /** By field of RopeConfig. */
  readonly rope: Readonly<Record<string, string>>;
}

/** Config values of a model of any architecture, unchecked. */
export interface StatedConfig extends Partial<Readonly<Record<keyof typeof limits, number>>> {
  readonly architecture?: string;
}

/** Reads the sizes in a file without checking them; `get` returns the value of a field. */
export function statedConfig(fields: ConfigFields, get: (field: string) => unknown): StatedConfig {
  const names = Object.keys(limits) as (keyof typeof limits)[];
  const entries = names.map((name) => [name, get(fields[name])] as const);
  return Object.fromEntries(entries.filter(([, value]) => typeof value === "number" && Number.isFinite(value)));
}

/** Of a model. */
export const MAX_LAYERS = 1024;

/** Larger sizes indicate a damaged file, and could overflow in products of sizes. */
const limits = {
  nLayers: MAX_LAYERS,
  hiddenSize: 65_536,
  nHeads: 1024,
  nKvHeads: 1024,
  headDim: 1024,
  mlpSize: 1 << 20,
  vocabSize: 1 << 22,
  contextLength: 1 << 28,
} as const;

/**
 * Valid ranges of the rotary embedding's parameters, inclusive. No frequency may exceed 1 radian per position, beyond which
 * the angles of distant positions lose precision (native/src/executor/trig.h).
 */
const ropeRanges: Readonly<Record<string, readonly [number, number]>> = {
  theta: [1, 1e15],
  factor: [1, 1e6],
  lowFrequencyFactor: [1e-6, 1e6],
  highFrequencyFactor: [1e-6, 1e6],
  originalContext: [1, limits.contextLength],
  betaFast: [1e-6, 1e6],
  betaSlow: [1e-6, 1e6],
  attentionFactor: [1e-6, 1e6],
};

/** Checks ranges and that the sizes are consistent. @throws IdlmError "file-malformed" naming the field in `path`. */
export function checkConfig(config: ModelConfig, path: string, fields: ConfigFields): ModelConfig {
  for (const [name, limit] of Object.entries(limits) as [keyof typeof limits, number][]) {
    const value = config[name];
    if (!Number.isInteger(value) || value < 1 || value > limit) {
      throw malformed(path, fields[name], `a whole number from 1 to ${limit}`, value);
    }
  }
  if (config.nHeads % config.nKvHeads !== 0) {
    throw malformed(path, fields.nKvHeads, `a divisor of the ${config.nHeads} heads`, config.nKvHeads);
  }
  if (config.headDim % 2 !== 0) throw malformed(path, fields.headDim, "an even number", config.headDim);
  if (!(config.normEpsilon > 0 && config.normEpsilon < 1)) {
    throw malformed(path, fields.normEpsilon, "a number between 0 and 1", config.normEpsilon);
  }
  checkRope(config, path, fields.rope);
  return config;
}

function checkRope({ rope }: ModelConfig, path: string, fields: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(rope)) {
    const range = ropeRanges[name];
    if (range === undefined || typeof value !== "number") continue;
    const [min, max] = range;
    if (!(value >= min && value <= max)) {
      throw malformed(path, fields[name] ?? name, `a number from ${min} to ${max}`, value);
    }
  }
  if (rope.kind === "llama3" && rope.lowFrequencyFactor >= rope.highFrequencyFactor) {
    const field = fields.lowFrequencyFactor ?? "lowFrequencyFactor";
    throw malformed(
      path,
      field,
      `less than the high frequency factor, ${rope.highFrequencyFactor}`,
      rope.lowFrequencyFactor,
    );
  }
  if (rope.kind === "yarn" && rope.theta === 1) {
    throw malformed(path, fields.theta ?? "theta", "a number above 1 (for YaRN)", rope.theta);
  }
  if (rope.kind === "divisors") {
    const field = fields.divisors ?? "divisors";
    const wrong = rope.divisors.find((divisor) => !(divisor >= 1 && divisor <= 1e6));
    if (wrong !== undefined) throw malformed(path, field, "numbers from 1 to 1000000", wrong);
  }
}
