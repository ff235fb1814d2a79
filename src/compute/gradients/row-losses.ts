import type { RowLoss } from "./gated-step.ts";

/** A row's loss and its gradient with respect to the row's logits. */
export interface LossOfRow {
  readonly loss: number;
  readonly gradient: Float64Array;
}

/** The loss of a MASK row and its measurements. */
export interface LossOfMaskRow extends LossOfRow {
  /** Σ min(p, q) */
  readonly overlap: number;
}

/** −log q(target): cross entropy of a token, q the softmax of the logits. */
export function crossEntropy(logits: Float32Array, target: number): LossOfRow {
  const logQ = logSoftmax(logits);
  const gradient = logQ.map(Math.exp);
  gradient[target] = (gradient[target] as number) - 1;
  return { loss: -(logQ[target] as number), gradient };
}

/**
 * Loss of a MASK row: the sum of losses times their factors. q is the softmax of the logits, p the target's
 * probabilities of the same ids, which may sum to less than 1.
 */
export function lossOfMaskRow(
  logits: Float32Array,
  logP: Float64Array,
  mixture: Readonly<Partial<Record<RowLoss, number>>>,
): LossOfMaskRow {
  const { kl = 0, tv = 0, log_overlap: logOverlap = 0 } = mixture;
  const logQ = logSoftmax(logits);
  let divergence = 0;
  let mass = 0;
  let overlap = 0;
  /** Mass of q where it is below p: more of it would increase the overlap. */
  let below = 0;
  logQ.forEach((lq, i) => {
    const lp = logP[i] as number;
    const p = Math.exp(lp);
    const q = Math.exp(lq);
    if (p > 0) divergence += p * (lp - lq);
    mass += p;
    overlap += Math.min(p, q);
    if (q < p) below += q;
  });
  const factor = tv + (logOverlap === 0 ? 0 : logOverlap / overlap);
  const gradient = logQ.map((lq, i) => {
    const p = Math.exp(logP[i] as number);
    const q = Math.exp(lq);
    return kl * (q * mass - p) + factor * q * (below - (q < p ? 1 : 0));
  });
  // Losses with factor 0 are skipped: an overlap of 0 would make them infinite.
  const loss =
    (kl === 0 ? 0 : kl * divergence) +
    (tv === 0 ? 0 : tv * (1 - overlap)) +
    (logOverlap === 0 ? 0 : -logOverlap * Math.log(overlap));
  return { loss, overlap, gradient };
}

/** log softmax in float64. */
export function logSoftmax(logits: Float32Array): Float64Array {
  const wide = Float64Array.from(logits);
  const largest = wide.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const sum = wide.reduce((total, x) => total + Math.exp(x - largest), 0);
  const shift = largest + Math.log(sum);
  return wide.map((x) => x - shift);
}
