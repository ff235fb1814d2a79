/**
 * One step of full training (arXiv 2604.11035): all weights are trained on a sequence's clean tokens and on MASK runs in
 * place of its response, block by block. MASK is a token of the vocabulary.
 */
export interface FullBatch {
  readonly tokens: Int32Array;
  /** From here on MASKs replace the tokens. */
  readonly promptLength: number;
  /** Positions of a block, counted from the sequence's start: a MASK sees the clean tokens before its block. */
  readonly block: number;
  readonly maskToken: number;
  /** Factor of the clean rows' loss; "auto": loss of the noisy rows / loss of the clean rows, without gradient. */
  readonly alpha: number | "auto";
}

/** loss = noisyLoss + alpha · cleanLoss, both mean cross entropies. */
export interface FullStep {
  readonly loss: number;
  /** Of MASK rows with a target: row i predicts token i + 1. */
  readonly noisyLoss: number;
  /** Of clean rows whose target is a token of the response. */
  readonly cleanLoss: number;
  /** By id, of all parameters; empty unless requested. */
  readonly gradients: ReadonlyMap<string, Float32Array>;
}

/** A program without adapter, whose parameters are all trained. One call at a time. */
export interface FullModel {
  /** @throws IdlmError "not-finite" if a logit or the loss is not finite. */
  step(batch: FullBatch, wantsGradients: boolean): Promise<FullStep>;
  /** Replaces parameters, by id. The values must not change until it resolves. */
  replaceParameters(values: ReadonlyMap<string, Float32Array>): Promise<void>;
  dispose(): void;
}
