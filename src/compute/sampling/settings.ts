import { IdlmError } from "../../errors.ts";
import type { SamplerSettings } from "../backend.ts";

/** Greedy, with every step switched off. */
export const neutralSettings: SamplerSettings = {
  repetitionPenalty: 1,
  presencePenalty: 0,
  frequencyPenalty: 0,
  logitBias: new Map(),
  temperature: 0,
  topK: 0,
  topP: 1,
  minP: 0,
  seed: 0,
  choice: 0,
  logprobs: -1,
};

/** Most log-probabilities that a draw reports (MAX_LOGPROBS of native/src/sampler.h). */
export const MAX_LOGPROBS = 64;

const ranges: Readonly<Partial<Record<keyof SamplerSettings, readonly [number, number, "whole"?]>>> = {
  repetitionPenalty: [0.01, 100],
  presencePenalty: [-100, 100],
  frequencyPenalty: [-100, 100],
  temperature: [0, 100],
  topK: [0, 2 ** 31 - 1, "whole"],
  topP: [0, 1],
  minP: [0, 1],
  seed: [0, Number.MAX_SAFE_INTEGER, "whole"],
  choice: [0, 2 ** 31 - 1, "whole"],
  logprobs: [-1, MAX_LOGPROBS, "whole"],
};

/** Checks settings against their ranges and the vocabulary. @throws IdlmError "usage" naming the setting. */
export function checkSettings(settings: SamplerSettings, vocabSize: number): SamplerSettings {
  for (const [name, range] of Object.entries(ranges)) {
    const [least, most, whole] = range;
    const value = settings[name as keyof SamplerSettings];
    const isNumber = typeof value === "number" && value >= least && value <= most;
    if (!isNumber || (whole === "whole" && !Number.isInteger(value))) {
      throw new IdlmError("usage", {
        problem: `${name}: expected a ${whole === undefined ? "" : "whole "}number from ${least} to ${most}, found ${value}`,
        hint: "Correct it",
      });
    }
  }
  for (const [token, bias] of settings.logitBias) {
    if (!Number.isInteger(token) || token < 0 || token >= vocabSize || !Number.isFinite(bias) || Math.abs(bias) > 1e6) {
      throw new IdlmError("usage", {
        problem: `logit bias: expected ids below ${vocabSize} and numbers up to a million, found ${token}: ${bias}`,
        hint: "Correct it",
      });
    }
  }
  return settings;
}
