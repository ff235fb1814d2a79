import type { SparseDistribution } from "./draw.ts";

/** Tokens that one row proposes. */
export interface Proposed {
  /** Exact: best first, after the noise of the draw to come. Rejection: in the order drawn from `from` without replacement. */
  readonly tokens: Int32Array;
  /** How sure of each the proposer is, 0 to 1: its share of the softmax over the shortlist's scores (with noise where exact verification draws with it). Not calibrated. */
  readonly confidences: Float32Array;
  /** Rejection only. */
  readonly from?: SparseDistribution;
}

/** How proposals will be verified: `rejection` stands for relaxed, too. */
export type ProposeFor = "exact" | "rejection";
