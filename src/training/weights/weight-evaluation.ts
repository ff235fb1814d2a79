import type { FullModel } from "../../compute/gradients/full-step.ts";
import { fullForest } from "../../compute/gradients/training-forests.ts";
import type { TrainingRow } from "../data/training-data.ts";
import { survivalOf } from "./weight-trainer.ts";

/** How well a model predicts held-out responses. */
export interface WeightEvaluation {
  readonly tokens: number;
  /** Mean negative log-likelihood of a token, in nats. */
  readonly loss: number;
  /** Share of tokens that the model ranks first. */
  readonly accuracy: number;
  /** The same of MASK rows, with survival by depth in blocks of the largest size; absent for plain training. */
  readonly masks?: { readonly loss: number; readonly survival: readonly number[] };
}

/** Undefined without rows. */
export async function evaluateWeights(
  model: FullModel,
  rows: readonly TrainingRow[],
  masks: number,
  maskToken: number,
  signal: AbortSignal,
): Promise<WeightEvaluation | undefined> {
  if (rows.length === 0) return undefined;
  const noise = masks === 0 ? undefined : { block: masks, maskToken };
  const clean = { loss: 0, rows: 0, first: 0 };
  const noisy = { loss: 0, rows: 0 };
  const survival = new Array<number>(masks).fill(0);
  for (const row of rows) {
    signal.throwIfAborted();
    const batch = { sequences: [row], alpha: 1, ...(noise && { noise }) };
    const { rowLosses, ranks } = await model.step(batch, false);
    const nNoisy = fullForest(row, noise).noisyRows.length;
    rowLosses.forEach((loss, i) => {
      const sums = i < nNoisy ? noisy : clean;
      sums.loss += loss;
      sums.rows++;
      if (i >= nNoisy && ranks[i] === 0) clean.first++;
    });
    survivalOf(batch, { ranks }).forEach((share, depth) => {
      survival[depth] = (survival[depth] ?? 0) + (share * nNoisy) / masks;
    });
  }
  return {
    tokens: clean.rows,
    loss: clean.loss / clean.rows,
    accuracy: clean.first / clean.rows,
    ...(masks > 0 && {
      masks: { loss: noisy.loss / noisy.rows, survival: survival.map((sum) => (sum * masks) / noisy.rows) },
    }),
  };
}
