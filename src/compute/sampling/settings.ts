/** One number among the settings of a sampler. */
export interface SamplingSetting {
  /** Switches the setting off; the default. */
  readonly neutral: number;
  /** Range of the values. */
  readonly min: number;
  readonly max: number;
  /** Whether `min` itself is not allowed. */
  readonly isOpen?: boolean;
  /** Whether it is a number of tokens: a whole number, at most the vocabulary size in effect. */
  readonly isCount?: boolean;
  /** Smallest value other than `neutral`, if the range has a gap. */
  readonly smallest?: number;
  /** Stands for the value in help and documentation. */
  readonly symbol: string;
  /** Its description in help and documentation. */
  readonly help: string;
}

/**
 * The settings that are numbers, in the order in which they are applied; `logitBias` comes before the temperature.
 * The keys are those of requests. Command-line options are the same in kebab case, keys of the OpenAI API in snake case;
 * types, validation, help and documentation are derived from this table.
 */
export const samplingSettings = {
  /** 1: off. Divides positive and multiplies negative logits of tokens in prompt or output. */
  repetitionPenalty: {
    ...{ neutral: 1, min: 0, max: 1000, isOpen: true, symbol: "x" },
    help: "divide the logits of tokens that occur in prompt or output; 1: off",
  },
  /** 0: off. Subtracted once from the logit of each token of the output. */
  presencePenalty: {
    ...{ neutral: 0, min: -1000, max: 1000, symbol: "x" },
    help: "subtract from the logits of tokens that occur in the output; 0: off",
  },
  /** 0: off. Subtracted per occurrence in the output. */
  frequencyPenalty: {
    ...{ neutral: 0, min: -1000, max: 1000, symbol: "x" },
    help: "subtract from the logits of tokens in the output, for each occurrence; 0: off",
  },
  /** 0: greedy; among equals the lowest id. */
  temperature: {
    // Below `smallest`, logits divided by the temperature overflow float32.
    ...{ neutral: 0, min: 0, max: 1000, smallest: 1e-6, symbol: "t" },
    help: "0: always the most likely token",
  },
  /** 0: off. Among equals at the limit the lowest ids are kept. */
  topK: {
    ...{ neutral: 0, min: 0, max: Number.MAX_SAFE_INTEGER, isCount: true, symbol: "n" },
    help: "sample from the n most likely tokens; 0: from all",
  },
  /** 1: off. Keeps the smallest set whose sum reaches topP, by descending probability, then ascending id. */
  topP: {
    ...{ neutral: 1, min: 0, max: 1, isOpen: true, symbol: "p" },
    help: "sample from the fewest tokens whose probabilities sum to p; 1: from all",
  },
  /** 0: off. Keeps tokens of at least minP × the largest probability. */
  minP: {
    ...{ neutral: 0, min: 0, max: 1, symbol: "p" },
    help: "exclude tokens below p times the largest probability; 0: none",
  },
} satisfies Readonly<Record<string, SamplingSetting>>;

export type SamplingSettingName = keyof typeof samplingSettings;

/** In the order in which they are applied. */
export const samplingSettingNames = Object.keys(samplingSettings) as SamplingSettingName[];

/** A value for each setting. */
export function mapSettings<T>(
  valueAt: (name: SamplingSettingName, setting: SamplingSetting) => T,
): Record<SamplingSettingName, T> {
  const entries = samplingSettingNames.map((name) => [name, valueAt(name, samplingSettings[name])]);
  return Object.fromEntries(entries) as Record<SamplingSettingName, T>;
}

type SamplingNumbers = { readonly [Name in keyof typeof samplingSettings]: number };

/** The settings of a request: absent ones are neutral. */
export type SamplingRequest = { readonly [Name in keyof typeof samplingSettings]?: number | undefined };

/** Settings of a sampler. Neutral values switch a step off. */
export interface SamplerSettings extends SamplingNumbers {
  /** Added to logits, by token id. */
  readonly logitBias: ReadonlyMap<number, number>;
  /** 0 … 2^53 − 1 */
  readonly seed: number;
  /** Index of the completion of a request (n > 1). */
  readonly choice: number;
  /** Number of top log-probabilities reported beside that of the drawn token; -1: none, not even that. */
  readonly logprobs: number;
}

/** Greedy, with all settings off. */
export const neutralSettings: SamplerSettings = {
  ...mapSettings((_, { neutral }) => neutral),
  logitBias: new Map(),
  seed: 0,
  choice: 0,
  logprobs: -1,
};

/** Most log-probabilities that a draw reports (MAX_LOGPROBS of native/src/sampling/sampler.h). */
export const MAX_LOGPROBS = 64;
