import type { Proposed } from "../compute/backend.ts";

/** Where a proposal comes from. */
export type ProposerKind = "mask" | "lookup" | "predicted" | "draft" | "medusa";

/** Proposes tokens that may follow the text. One for each sequence that is written. */
export interface Proposer {
  readonly kind: ProposerKind;
  /** Tokens that became final, in order; the prompt first. */
  observe(tokens: readonly number[]): void;
  /** Work ahead of the next round, for proposals up to `depth` tokens deep and `width` alternatives each. */
  prepare?(depth: number, width: number, signal: AbortSignal | undefined): Promise<void>;
  /**
   * At most `count` tokens to follow the observed tokens and then `path`, the unverified ones. Exact verification: best
   * first. Rejection: in the order drawn from `from`; without `from` each token is certain. Two proposers that draw for one
   * anchor must not share noise: each token must come from `from` whatever the other drew. Valid until the next forward.
   */
  candidates(path: readonly number[], count: number): Proposed;
  dispose?(): Promise<void> | void;
}

/** A proposer that has nothing to say here. */
export const noCandidates: Proposed = { tokens: new Int32Array(), confidences: new Float32Array() };

/** The MASK run off the anchor that was verified last, in the forward that verified it. */
export interface MaskRun {
  readonly length: number;
  /** At most `count` tokens of MASK `path.length`, given the tokens proposed after the pending one. Valid until the next forward. */
  propose(path: readonly number[], count: number): Proposed;
}

/** MASK rows of an adapter. */
export class MaskProposer implements Proposer {
  readonly kind = "mask";
  #run: MaskRun | undefined;

  observe(): void {}

  /** Undefined where there is no run to draw from: in the first round, and where the accepted anchor had none (a cold start). */
  follow(run: MaskRun | undefined): void {
    this.#run = run;
  }

  candidates(path: readonly number[], count: number): Proposed {
    const run = this.#run;
    return run === undefined || path.length >= run.length ? noCandidates : run.propose(path, count);
  }
}
