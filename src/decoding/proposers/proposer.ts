import type { Proposed } from "../../compute/sampling/proposal.ts";

/** Where a proposal comes from. */
export type ProposerKind = "mask" | "lookup" | "predicted" | "draft" | "medusa";

/** How much proposers may still read in a step, all of its texts together. */
export interface ReadingRoom {
  tokens: number;
}

/** Proposes tokens that may follow the text. One for each sequence that is written. */
export interface Proposer {
  readonly kind: ProposerKind;
  /** Whether it is likely to have something, as far as it is known without asking. Default: true. */
  readonly isPromising?: boolean;
  /** Tokens that became final, in order; the prompt first. */
  observe(tokens: readonly number[]): void;
  /** Whether it has to `read` on, in every step, before `prepare` can be done without making other texts wait. */
  readonly isBehind?: boolean;
  /** Reads what it has not read of the text, as far as there is room. */
  read?(room: ReadingRoom, signal: AbortSignal | undefined): Promise<void>;
  /**
   * Work ahead of the next round, for proposals up to `depth` tokens deep and `width` alternatives each. Resolves to the
   * tokens that it took.
   */
  prepare?(depth: number, width: number, signal: AbortSignal | undefined): Promise<number>;
  /**
   * At most `count` tokens to follow the observed tokens and then `path`, the unverified ones. Exact verification: best
   * first. Rejection: in the order drawn from `from`; without `from` each token is certain. Two proposers that draw for one
   * anchor must not share noise: each token must come from `from` whatever the other drew. Valid until the next forward.
   */
  candidates(path: readonly number[], count: number): Proposed;
  /** After `observe`, where the text goes on: what the forward that verified the last tokens has computed. */
  follow?(runs: AnchorRuns): void;
  dispose?(): Promise<void> | void;
}

/** A proposer that has nothing to say here. */
export const noCandidates: Proposed = { tokens: new Int32Array(), confidences: new Float32Array() };

/** What the anchor that was verified last can propose from, in the forward that verified it: its MASK run, or its Medusa heads. */
export interface AnchorRun {
  readonly length: number;
  /** At most `count` tokens of MASK or head `path.length`, given the tokens proposed after the pending one. Valid until the next forward. */
  propose(path: readonly number[], count: number): Proposed;
}

/** What the anchor that was verified last has: its MASK run, without which the round starts cold, and its extra heads. */
export type AnchorRuns = Readonly<Partial<Record<"mask" | "medusa", AnchorRun>>>;

/** Proposes from the forward that verified the last tokens. */
abstract class AnchorProposer implements Proposer {
  abstract readonly kind: keyof AnchorRuns;
  #run: AnchorRun | undefined;

  get isPromising(): boolean {
    return this.#run !== undefined;
  }

  observe(): void {}

  follow(runs: AnchorRuns): void {
    this.#run = runs[this.kind];
  }

  candidates(path: readonly number[], count: number): Proposed {
    const run = this.#run;
    return run === undefined || path.length >= run.length ? noCandidates : run.propose(path, count);
  }
}

/** MASK rows of an adapter. */
export class MaskProposer extends AnchorProposer {
  readonly kind = "mask";
}

/**
 * Extra heads on the last hidden state (Medusa: Cai et al., arXiv 2401.10774): head k guesses the token behind k others
 * whatever these are. They cost no row, and a product with the output matrix each when they are asked.
 */
export class MedusaProposer extends AnchorProposer {
  readonly kind = "medusa";
}
