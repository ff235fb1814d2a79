import type { IdlmError } from "../../errors.ts";
import type { Sampler } from "./sampler.ts";

export interface Draw {
  readonly row: number;
  readonly sampler: Sampler;
  /** Position of the drawn token (the row's position + 1), a key of the noise. */
  readonly position: number;
  /** Tokens that count as output though the sampler has not accepted them: unverified ancestors and the row itself. */
  readonly unverified: readonly number[];
  /** A bit per token of the vocabulary, 1: allowed. Absent: all are allowed. */
  readonly allowed?: Uint32Array;
  /** Rejection sampling: proposals to try first. Absent: an ordinary draw. */
  readonly trial?: Trial;
}

/** A distribution over a few tokens; all others have probability 0. The probabilities sum to 1. */
export interface SparseDistribution {
  readonly tokens: Int32Array;
  readonly probabilities: Float32Array;
}

/**
 * Proposals for one position, tried in order (recursive rejection sampling without replacement, RSD, arXiv 2402.14160,
 * section 3). With p the distribution of the draw and q that of token i, the token is accepted if u < p(token) / (tau
 * q(token)); otherwise p becomes the normalised max(0, p - q). If none is accepted a token is drawn from the remaining
 * p. Acceptance and residual draws have their own noise (philox.ts, Purpose).
 */
export interface Trial {
  readonly tokens: readonly number[];
  /** Distribution of tokens[i], renormalised without the tokens tried before it. Undefined: q(token) = 1. */
  readonly from: readonly (SparseDistribution | undefined)[];
  /** 1: rejection sampling, with the distribution of plain decoding; below 1: relaxed, not lossless. */
  readonly tau: number;
}

/**
 * Result of a Draw. Log-probabilities are natural and those of the model, before any sampling setting (temperature 1).
 */
export interface Drawn {
  /** With a trial: the accepted proposal, or a token that is not among the proposals. */
  readonly token: number;
  readonly logprob?: number;
  readonly top?: readonly { readonly token: number; readonly logprob: number }[];
  /**
   * A logit is not finite, or no token is allowed; then `token` is -1. Matters only if the output reaches this row,
   * which may never happen for a row of an unverified proposal.
   */
  readonly failure?: IdlmError;
}
