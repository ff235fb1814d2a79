import { sineCosine } from "../elementary.ts";
import type { Lora, Program } from "../program/program.ts";
import type { ReferenceCache } from "./reference-cache.ts";

export type Floats = Float32Array;

/** Row-major [rows, cols]. */
export interface Matrix {
  readonly rows: number;
  readonly cols: number;
  readonly values: Float32Array;
}

/** Norms consecutive groups of weight.length (all of x where there is no weight): x / rms(x) · weight. */
export function rmsnorm(x: Floats, weight: Floats | undefined, epsilon: number, out: Floats): void {
  const width = weight?.length ?? x.length;
  for (let from = 0; from < x.length; from += width) {
    let squares = 0;
    for (let i = from; i < from + width; i++) squares += (x[i] as number) ** 2;
    const scale = 1 / Math.sqrt(squares / width + epsilon);
    for (let i = 0; i < width; i++) out[from + i] = (x[from + i] as number) * scale * (weight?.[i] ?? 1);
  }
}

/** out = weight · x (+ bias) (+ scale · B · (A · x)). */
export function linear(weight: Matrix, x: Floats, bias: Floats | undefined, lora: Lora | undefined, out: Floats): void {
  const { values, cols, rows } = weight;
  const low = lora === undefined ? undefined : product(lora.a, x, lora.rank);
  for (let row = 0; row < rows; row++) {
    let sum = bias?.[row] ?? 0;
    const base = row * cols;
    for (let i = 0; i < cols; i++) sum += (values[base + i] as number) * (x[i] as number);
    if (lora !== undefined && low !== undefined) {
      let term = 0;
      for (let r = 0; r < lora.rank; r++) term += (lora.b[row * lora.rank + r] as number) * (low[r] as number);
      sum += lora.scale * term;
    }
    out[row] = sum;
  }
}

function product(matrix: Floats, x: Floats, rows: number): Float64Array {
  return Float64Array.from({ length: rows }, (_, row) => {
    let sum = 0;
    for (let i = 0; i < x.length; i++) sum += (matrix[row * x.length + i] as number) * (x[i] as number);
    return sum;
  });
}

/** Rotates every head of x by a position; pairs are (i, i + headDim / 2). RoFormer, arXiv 2104.09864. */
export function rotate(x: Floats, position: number, { headDim, rope }: Program): void {
  const half = headDim / 2;
  for (let i = 0; i < half; i++) {
    const [sine, cosine] = sineCosine(position * (rope.inverseFrequencies[i] as number));
    const s = sine * rope.attentionFactor;
    const c = cosine * rope.attentionFactor;
    for (let head = 0; head < x.length; head += headDim) {
      const a = x[head + i] as number;
      const b = x[head + i + half] as number;
      x[head + i] = a * c - b * s;
      x[head + i + half] = b * c + a * s;
    }
  }
}

/** One row attends to the given slots, in order: softmax of q·k / √headDim over them, times v. */
export function attend(
  q: Floats,
  slots: readonly number[],
  cache: ReferenceCache,
  layer: number,
  { nHeads, nKvHeads, headDim }: Program,
  out: Floats,
): void {
  const group = nHeads / nKvHeads;
  for (let head = 0; head < nHeads; head++) {
    const at = Math.floor(head / group) * headDim;
    const scores = slots.map((slot) => {
      const k = cache.key(layer, slot);
      let sum = 0;
      for (let d = 0; d < headDim; d++) sum += (q[head * headDim + d] as number) * (k[at + d] as number);
      return sum / Math.sqrt(headDim);
    });
    const largest = scores.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
    const weights = scores.map((score) => Math.exp(score - largest));
    const total = weights.reduce((a, b) => a + b, 0);
    const mixed = new Float64Array(headDim);
    slots.forEach((slot, i) => {
      const v = cache.value(layer, slot);
      for (let d = 0; d < headDim; d++) (mixed[d] as number) += (weights[i] as number) * (v[at + d] as number);
    });
    for (let d = 0; d < headDim; d++) out[head * headDim + d] = (mixed[d] as number) / total;
  }
}

export function silu(x: number): number {
  return x / (1 + Math.exp(-x));
}

export function swiglu(gate: Floats, up: Floats, out: Floats): void {
  for (let i = 0; i < out.length; i++) out[i] = silu(gate[i] as number) * (up[i] as number);
}

export function add(x: Floats, y: Floats): void {
  for (let i = 0; i < x.length; i++) (x[i] as number) += y[i] as number;
}
