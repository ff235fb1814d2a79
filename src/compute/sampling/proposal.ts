import type { SparseDistribution } from "./draw.ts";
import { Purpose } from "./philox.ts";
import type { Sampler } from "./sampler.ts";

/** How proposals will be verified: `rejection` stands for relaxed, too. */
export type ProposeFor = "exact" | "rejection";

/** What predicts a proposed token: something of a row that needs output. */
export type ProposalSource =
  /** A MASK row. `previous`: the token before the predicted one, for the sampler head. */
  | { readonly kind: "mask"; readonly row: number; readonly previous: number }
  /** An extra (Medusa) head of a token row. */
  | { readonly kind: "head"; readonly row: number; readonly head: number }
  /** A token row of a draft model. */
  | { readonly kind: "token"; readonly row: number };

/** A question for the tokens that may stand at a position. */
export interface ProposalRequest {
  readonly source: ProposalSource;
  readonly sampler: Sampler;
  /** Position of the predicted token: keys the noise. */
  readonly position: number;
  /** Tokens before the predicted one that the sampler has not accepted. */
  readonly unverified: readonly number[];
  /** A bit per token of the vocabulary, 1: allowed. Absent: all are. */
  readonly allowed?: Uint32Array;
  /** Most tokens to propose. */
  readonly count: number;
  readonly proposeFor: ProposeFor;
}

/** Tokens proposed for one position. */
export interface Proposed {
  /** Exact: best first, after the noise of the draw to come. Rejection: in the order drawn from `from` without replacement. */
  readonly tokens: Int32Array;
  /** How sure of each the proposer is, 0 to 1: its share of the softmax over the shortlist's scores (with noise where exact verification draws with it). Not calibrated. */
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

/** The noise that a source's rejection-mode proposals are drawn with. */
export function purposeOf({ kind }: ProposalSource): Purpose {
  return purposes[kind];
}
