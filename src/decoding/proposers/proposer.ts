import type { Lookahead } from "../../compute/loaded-model.ts";
import type { Proposed, ProposalRequest } from "../../compute/sampling/proposal.ts";

/** Tokens that proposers may prefill in a step, all sequences together. */
export interface PrefillBudget {
  tokens: number;
}

/** Proposes continuations of one sequence. */
export interface Proposer {
  /** Its key in the table of registry.ts. */
  readonly kind: string;
  /** Appends verified tokens, in order; the prompt first. */
  observe(tokens: readonly number[]): void;
  /** Whether it needs `prefill`, in every step, before `prepare` can run without delaying other sequences. */
  readonly needsPrefill?: boolean;
  /** Prefills its model within the budget. */
  prefill?(budget: PrefillBudget, signal: AbortSignal | undefined): Promise<void>;
  /**
   * Computes proposals for the next round, up to `depth` tokens deep with `width` alternatives each. Resolves to the
   * number of drafted tokens.
   */
  prepare?(depth: number, width: number, signal: AbortSignal | undefined): Promise<number>;
  /**
   * At most `count` candidates to follow the observed tokens and the unverified ones in `path`, or a request to the
   * model for them. Exact verification: best first. Rejection: in the order they were drawn from `from`; without `from`
   * they have probability 1. Two proposers that draw at one anchor must not share noise: the draws must be independent.
   * Valid until the next forward.
   */
  candidates(path: readonly number[], count: number): Proposed | ProposalRequest;
  /** After `observe`, unless the sequence ended: the MASK run and heads of the last verified anchor. */
  follow?(runs: AnchorRuns): void;
  dispose?(): Promise<void> | void;
}

/** Result of a proposer without candidates. */
export const noCandidates: Proposed = { tokens: new Int32Array(), confidences: new Float32Array() };

/** A MASK run, or the extra heads, of the last verified anchor, in the forward that verified it. */
export interface AnchorRun {
  readonly length: number;
  /** At most `count` candidates of MASK or head `path.length`, given the proposed tokens before it. */
  candidates(path: readonly number[], count: number): Proposed | ProposalRequest;
}

/** The MASK run of the last verified anchor, if it has one (else the round starts cold), and its extra heads. */
export type AnchorRuns = Readonly<Partial<Record<Lookahead["kind"], AnchorRun>>>;

/** Proposes from the results of the forward that verified the last tokens. */
abstract class AnchorProposer implements Proposer {
  abstract readonly kind: string;
  protected abstract readonly source: keyof AnchorRuns;
  #run: AnchorRun | undefined;

  observe(): void {}

  follow(runs: AnchorRuns): void {
    this.#run = runs[this.source];
  }

  candidates(path: readonly number[], count: number): Proposed | ProposalRequest {
    const run = this.#run;
    return run === undefined || path.length >= run.length ? noCandidates : run.candidates(path, count);
  }
}

/** MASK rows of an adapter. */
export class MaskProposer extends AnchorProposer {
  readonly kind = "mask";
  protected readonly source = "mask";
}

/**
 * Extra heads on the last hidden state (Medusa: Cai et al., arXiv 2401.10774): head k predicts the k-th token after the
 * next one, independently of those between. They need no rows; each call computes a product with the output matrix.
 */
export class MedusaProposer extends AnchorProposer {
  readonly kind = "medusa";
  protected readonly source = "head";
}
