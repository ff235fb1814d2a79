import type { AdamWMoments, AdamWSettings } from "./adamw.ts";

/**
 * One step of gated training: the base model is frozen, MASK runs hang off anchors of clean sequences, and the target of
 * MASK j off anchor a is the base's own softmax at clean row a + j, over its whole vocabulary.
 */
export interface GatedBatch {
  readonly sequences: readonly GatedSequence[];
  /** Length of a MASK run, at most the program's `mask.nDepths` (unless one vector serves every depth). */
  readonly nMasks: number;
}

export interface GatedSequence {
  /** Names the sequence: a backend may keep what it computed of its clean rows. One key always has the same tokens. */
  readonly key: number;
  readonly tokens: Int32Array;
  /**
   * Indices of tokens, each at most tokens.length − 2. Runs are full up to tokens.length − 1 − nMasks; behind it they end
   * with the MASK whose target is the last token.
   */
  readonly anchors: Int32Array;
}

/** With p the target and q the MASK row's softmax over the draft vocabulary; p has less than its whole mass there. */
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
  /** A row's loss is the sum of these, each times its factor. */
  readonly mixture: Readonly<Partial<Record<RowLoss, number>>>;
  /** Weight of a row by its depth, [nMasks]. */
  readonly depthWeights: readonly number[];
  /** "First miss": a row has weight 0 where a MASK before it in its run did not have the target's argmax on top. */
  readonly firstMiss: boolean;
}

/** Results by MASK row: sequences in order, their anchors in order, depths in order. */
export interface GatedStep {
  readonly loss: number;
  /** Before weights, [row]. */
  readonly rowLosses: Float32Array;
  /**
   * How many ids of the draft vocabulary have larger logits than the target's argmax (of equal ones, the lower id counts
   * as larger), after the sampler head, given the true token before the predicted one; the size of the draft vocabulary
   * where the argmax is not in it. [row]
   */
  readonly targetRank: Int32Array;
  /** The same of the sequence's own token at a + j + 1; behind its end the size of the draft vocabulary. [row] */
  readonly textRank: Int32Array;
  /** Σ min(p, q), [row] */
  readonly overlap: Float32Array;
  /**
   * By parameter id, of all trainable parameters; empty where none were asked for. Valid until the next step, which may
   * write to the same memory.
   */
  readonly gradients: ReadonlyMap<string, Float32Array>;
  /** Euclidean norm of all gradients together; 0 where none were asked for. */
  readonly gradientNorm: number;
}

/** A trainable parameter with its gradient and the state of AdamW, all of one length. */
export interface AdamWTensor extends AdamWMoments {
  readonly values: Float32Array;
  readonly gradient: Float32Array;
  readonly weightDecay: number;
}

/** One of many steps of AdamW. */
export interface AdamWUpdate extends AdamWSettings {
  /** From 1. */
  readonly step: number;
  /** Multiplies the gradients first. */
  readonly factor: number;
}

/** A program ready to be trained. One call at a time. */
export interface GatedModel {
  /**
   * Bits of the result depend on the batch, the loss and the parameters alone: not on threads, nor on earlier steps.
   * @throws IdlmError "not-finite" where a logit or a loss is not finite.
   */
  step(batch: GatedBatch, loss: LossSettings, wantsGradients: boolean): Promise<GatedStep>;
  /** Values of trainable parameters, by id; not to be changed before it resolves. */
  replaceParameters(values: ReadonlyMap<string, Float32Array>): Promise<void>;
  /**
   * One step of AdamW, in place: updates values and moments by the gradients, and the model goes on with the new values.
   * Nothing of it may be read or changed before it resolves. In float32 or better; bits do not depend on threads.
   */
  update(tensors: ReadonlyMap<string, AdamWTensor>, update: AdamWUpdate): Promise<void>;
  dispose(): void;
}
