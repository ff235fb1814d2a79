import type { IdlmError } from "../../errors.ts";
import type { Sampler } from "./sampler.ts";

export interface Draw {
  readonly row: number;
  readonly sampler: Sampler;
  /** Position of the token to draw (the row's position + 1): keys the noise. */
  readonly position: number;
  /** Tokens that count as output although the sampler has not accepted them yet: the unverified ancestors and the row itself. */
  readonly unverified: readonly number[];
  /** A bit per token of the vocabulary, 1: allowed. Absent: all are. */
  readonly allowed?: Uint32Array;
  /** Rejection sampling: proposals to try first. Absent: the token that plain decoding draws. */
  readonly trial?: Trial;
}

/** A distribution over few tokens; every other token has probability 0. The probabilities add up to 1. */
export interface SparseDistribution {
  readonly tokens: Int32Array;
  readonly probabilities: Float32Array;
}

/**
 * Proposals for one position, tried one after the other (recursive rejection sampling without replacement, RSD, arXiv
 * 2402.14160, section 3): with p the distribution of the draw and q what token i was drawn from, it stands where
 * u < p(token) / (tau q(token)); else p becomes the normalised max(0, p - q). Where none stands the token is drawn from
 * what is left of p. Acceptance and residual draws have noise of their own (philox.ts, Purpose).
 */
export interface Trial {
  readonly tokens: readonly number[];
  /**
   * What tokens[i] was drawn from: this distribution, after the tokens tried before it are taken out and the rest is
   * rescaled. Undefined: it was certain, q(token) = 1.
   */
  readonly from: readonly (SparseDistribution | undefined)[];
  /** 1: rejection sampling, distributed as plain decoding; below 1: relaxed, not lossless. */
  readonly tau: number;
}

/** What was drawn for one Draw. Log-probabilities are natural, of the model's distribution before any sampling setting (temperature 1). */
export interface Drawn {
  /** With a trial: one of its tokens if that one stood, else none of them. */
  readonly token: number;
  readonly logprob?: number;
  readonly top?: readonly { readonly token: number; readonly logprob: number }[];
  /**
   * Nothing could be drawn here: a logit is not finite, or no token is allowed. It counts only where the text gets to this
   * row, which for a row of an unverified proposal it may never do; `token` is -1 then.
   */
  readonly failure?: IdlmError;
}
