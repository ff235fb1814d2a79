import type { TrainedModel } from "./trained-model.ts";

/**
 * One step of training of all weights (arXiv 2604.11035) on the clean tokens of sequences and, in full training, on MASK
 * runs in place of their responses, block by block. MASK is a token of the vocabulary.
 */
export interface FullBatch {
  readonly sequences: readonly FullSequence[];
  /** Absent: there are clean rows only. */
  readonly noise?: FullNoise;
  /** Factor of the clean rows' loss; "auto": loss of the noisy rows / loss of the clean rows, without gradient. */
  readonly alpha: number | "auto";
}

export interface FullSequence {
  readonly tokens: Int32Array;
  /** By token: 1 if it is predicted, from MASKs and from the clean tokens before it. */
  readonly isResponse: Uint8Array;
}

export interface FullNoise {
  /** Positions of a block, counted from the sequence's start: a MASK sees the clean tokens before its block. */
  readonly block: number;
  readonly maskToken: number;
}

/**
 * loss = noisyLoss + alpha · cleanLoss, both mean cross entropies over all sequences. Results by row with a target:
 * sequences in order, of each first MASK rows, then clean rows, as in `fullForest`.
 */
export interface FullStep {
  readonly loss: number;
  /** Of MASK rows; 0 without noise. */
  readonly noisyLoss: number;
  readonly cleanLoss: number;
  /** Cross entropies, [row]. */
  readonly rowLosses: Float32Array;
  /** Number of tokens that rank before the target, [row]. */
  readonly ranks: Int32Array;
  /** By id, of all parameters; empty unless requested. Valid until the next step, which may reuse the memory. */
  readonly gradients: ReadonlyMap<string, Float32Array>;
  /** Euclidean norm of all gradients together; 0 unless requested. */
  readonly gradientNorm: number;
}

/** A program without adapter, whose parameters are all trained. One call at a time. */
export interface FullModel extends TrainedModel {
  /**
   * The bits of the result depend on batch and parameters only, not on threads. @throws IdlmError "not-finite" if a logit
   * or a loss is not finite.
   */
  step(batch: FullBatch, wantsGradients: boolean): Promise<FullStep>;
}
