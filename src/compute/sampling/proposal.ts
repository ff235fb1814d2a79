import type { SparseDistribution } from "./draw.ts";
import { Purpose } from "./philox.ts";
import type { Sampler } from "./sampler.ts";

/** How proposals will be verified; `rejection` includes relaxed. */
export type ProposeFor = "exact" | "rejection";

/** Source of a proposed token: a row that needs output, or a head of it. */
export type ProposalSource =
  /** A MASK row. `previous`: the token before the predicted one, for the sampler head. */
  | { readonly kind: "mask"; readonly row: number; readonly previous: number }
  /** An extra (Medusa) head of a token row. */
  | { readonly kind: "head"; readonly row: number; readonly head: number }
  /** A token row of a draft model. */
  | { readonly kind: "token"; readonly row: number };

/** A request for tokens proposed at one position. */
export interface ProposalRequest {
  readonly source: ProposalSource;
  readonly sampler: Sampler;
  /** Position of the proposed token, a key of the noise. */
  readonly position: number;
  /** Tokens before the proposed one that the sampler has not accepted. */
  readonly unverified: readonly number[];
  /** A bit per token of the vocabulary, 1: allowed. Absent: all are allowed. */
  readonly allowed?: Uint32Array;
  /** Most tokens to propose. */
  readonly count: number;
  readonly proposeFor: ProposeFor;
}

/** Tokens proposed for one position. */
export interface Proposed {
  /**
   * Exact: best first, with the noise of the verifying draw. Rejection: in the order drawn from `from` without
   * replacement.
   */
  readonly tokens: Int32Array;
  /**
   * Confidence in each, 0 to 1: its softmax over the shortlist's scores (which include the noise for exact
   * verification). Not calibrated.
   */
  readonly confidences: Float32Array;
  /** Rejection only. */
  readonly from?: SparseDistribution;
}

/** Two sources that draw for one position must not share noise. */
const purposes: Readonly<Record<ProposalSource["kind"], Purpose>> = {
  mask: Purpose.proposal,
  head: Purpose.extraHead,
  token: Purpose.draft,
};

/** Purpose of the noise of a source's proposals for rejection. */
export function purposeOf({ kind }: ProposalSource): Purpose {
  return purposes[kind];
}
