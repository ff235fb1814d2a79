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
