/** Settings of a sampler, in the order in which they act. Neutral values switch a step off. */
export interface SamplerSettings {
  /** 1: off. Divides positive and multiplies negative logits of tokens in prompt or output. */
  readonly repetitionPenalty: number;
  /** 0: off. Subtracted once from each token of the output. */
  readonly presencePenalty: number;
  /** 0: off. Subtracted per occurrence in the output. */
  readonly frequencyPenalty: number;
  /** Added to logits, by token id. */
  readonly logitBias: ReadonlyMap<number, number>;
  /** 0: greedy, the lowest id wins a tie. */
  readonly temperature: number;
  /** 0: off. Ties at the edge are kept by lowest id. */
  readonly topK: number;
  /** 1: off. The smallest set, by descending probability then ascending id, whose sum reaches topP. */
  readonly topP: number;
  /** 0: off. Keeps tokens of at least minP × the largest probability. */
  readonly minP: number;
  /** 0 … 2^53 − 1 */
  readonly seed: number;
  /** Which of several answers to the same request (n > 1). */
  readonly choice: number;
  /** How many of the best log-probabilities a draw reports beside the drawn token's; -1: none at all. */
  readonly logprobs: number;
}

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

/** Most log-probabilities that a draw reports (checked against native/src/constants.h). */
export const MAX_LOGPROBS = 64;
