import type { Lookahead } from "../../compute/loaded-model.ts";
import type { Proposed, ProposalRequest } from "../../compute/sampling/proposal.ts";

/** Tokens that proposers may still read in a step, those of all its sequences together. */
export interface PrefillBudget {
  tokens: number;
}

/** Proposes tokens that may follow a sequence. Each sequence has its own. */
export interface Proposer {
  /** Its key in the table of registry.ts. */
  readonly kind: string;
  /** Whether it is likely to have candidates, as far as it knows without being asked. Default: true. */
  readonly isPromising?: boolean;
  /** Tokens that became final, in order; the prompt first. */
  observe(tokens: readonly number[]): void;
  /** Whether it has to `read` on, in every step, before `prepare` can run without delaying other sequences. */
  readonly needsPrefill?: boolean;
  /** Reads what it has not read of the sequence, as far as the budget goes. */
  prefill?(budget: PrefillBudget, signal: AbortSignal | undefined): Promise<void>;
  /**
   * Work ahead of the next round, for proposals up to `depth` tokens deep and `width` alternatives each. Resolves to the
   * number of tokens that it drafted.
   */
  prepare?(depth: number, width: number, signal: AbortSignal | undefined): Promise<number>;
  /**
   * At most `count` tokens to follow the observed tokens and then `path`, the unverified ones, or what the model is to be
   * asked for them. Exact verification: best first. Rejection: in the order drawn from `from`; without `from` each token is
   * certain. Two proposers that draw for one anchor must not share noise: each token must come from `from` whatever the
   * other drew. Valid until the next forward.
   */
  candidates(path: readonly number[], count: number): Proposed | ProposalRequest;
  /** After `observe`, unless the sequence ended: what the forward that verified the last tokens has to propose from. */
  follow?(runs: AnchorRuns): void;
  dispose?(): Promise<void> | void;
}

/** The answer of a proposer without candidates. */
export const noCandidates: Proposed = { tokens: new Int32Array(), confidences: new Float32Array() };

/** What the last verified anchor can propose from, in the forward that verified it: its MASK run, or its extra heads. */
export interface AnchorRun {
  readonly length: number;
  /** For at most `count` tokens of MASK or head `path.length`, given the tokens proposed after the pending one. */
  candidates(path: readonly number[], count: number): Proposed | ProposalRequest;
}

/** The last verified anchor's MASK run, without which a round starts cold, and its extra heads. */
export type AnchorRuns = Readonly<Partial<Record<Lookahead["kind"], AnchorRun>>>;

/** Proposes from the forward that verified the last tokens. */
abstract class AnchorProposer implements Proposer {
  abstract readonly kind: string;
  protected abstract readonly source: keyof AnchorRuns;
  #run: AnchorRun | undefined;

  get isPromising(): boolean {
    return this.#run !== undefined;
  }

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
 * Extra heads on the last hidden state (Medusa: Cai et al., arXiv 2401.10774): head k predicts the token behind k others
 * whatever these are. They cost no row, and a product with the output matrix each when they are asked.
 */
export class MedusaProposer extends AnchorProposer {
  readonly kind = "medusa";
  protected readonly source = "head";
}
