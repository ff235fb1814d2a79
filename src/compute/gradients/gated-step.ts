import type { TrainedModel } from "./trained-model.ts";

/**
 * One step of gated training: the base model is frozen, MASK runs follow anchors of clean sequences, and the target of
 * MASK j at anchor a is the base's own softmax at clean row a + j, over its whole vocabulary.
 */
export interface GatedBatch {
  readonly sequences: readonly GatedSequence[];
  /** Length of a MASK run, at most the program's `mask.nDepths` (unless one vector serves every depth). */
  readonly nMasks: number;
}

export interface GatedSequence {
  /** Identifies the sequence: a backend may cache its clean rows. The same key must always have the same tokens. */
  readonly key: number;
  readonly tokens: Int32Array;
  /**
   * Indices of tokens, each at most tokens.length − 2. Runs have full length up to tokens.length − 1 − nMasks; later
   * ones end with the MASK whose target is the last token.
   */
  readonly anchors: Int32Array;
}

/**
 * With p the target and q the MASK row's softmax over the draft vocabulary. The probabilities p sum to less than 1
 * there.
 */
export const rowLosses = {
  /** Σ p (log p − log q), over the draft vocabulary */
  kl: "kl",
  /** 1 − Σ min(p, q) */
  tv: "tv",
  /** −log Σ min(p, q) */
  log_overlap: "log_overlap",
} as const;

export type RowLoss = keyof typeof rowLosses;

/** Loss of a step: Σ weight · loss / Σ weight, over all MASK rows. */
export interface LossSettings {
  /** A row's loss is the sum of these losses times their factors. */
  readonly mixture: Readonly<Partial<Record<RowLoss, number>>>;
  /** Weight of a row by its depth, [nMasks]. */
  readonly depthWeights: readonly number[];
  /** "First miss": a row has weight 0 if a MASK before it in its run does not rank the target's argmax first. */
  readonly firstMiss: boolean;
}

/** Results by MASK row: sequences in order, their anchors in order, depths in order. */
export interface GatedStep {
  readonly loss: number;
  /** Before weights, [row]. */
  readonly rowLosses: Float32Array;
  /**
   * Number of draft vocabulary tokens with larger logits than the target's argmax (among equals the lower id counts as
   * larger), after the sampler head given the true previous token; the size of the draft vocabulary if the argmax is
   * not in it. [row]
   */
  readonly targetRank: Int32Array;
  /** The same for the sequence's own token at a + j + 1; after its end the size of the draft vocabulary. [row] */
  readonly textRank: Int32Array;
  /** Σ min(p, q), [row] */
  readonly overlap: Float32Array;
  /**
   * By id, of all trainable parameters; empty unless requested. Valid until the next step, which may reuse the memory.
   */
  readonly gradients: ReadonlyMap<string, Float32Array>;
  /** Euclidean norm of all gradients together; 0 unless requested. */
  readonly gradientNorm: number;
}

/** A program ready for training. One call at a time. */
export interface GatedModel extends TrainedModel {
  /**
   * The bits of the result depend on batch, loss and parameters only, not on threads or earlier steps. @throws
   * IdlmError "not-finite" if a logit or a loss is not finite.
   */
  step(batch: GatedBatch, loss: LossSettings, wantsGradients: boolean): Promise<GatedStep>;
}
