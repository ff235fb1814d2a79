import type { RowSet } from "../program/operations.ts";
import type { Floats, GradientRun, Matrix } from "./operation.ts";

export function rowOf({ values, cols }: Matrix, row: number): Floats {
  return values.subarray(row * cols, (row + 1) * cols);
}

export function ofDepth(embedding: Matrix, depth: number): Floats {
  return rowOf(embedding, Math.min(depth, embedding.rows) - 1);
}

export function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] as number) * (b[i] as number);
  return sum;
}

/** matrix · x, in float64. */
export function product(matrix: Matrix, x: ArrayLike<number>): Float64Array {
  return Float64Array.from({ length: matrix.rows }, (_, row) => dot(rowOf(matrix, row), x));
}

/** The operation's rows that a gradient flowed to. */
export function eachRow(
  run: GradientRun,
  rows: RowSet,
  out: string,
  visit: (row: number, dy: Float64Array) => void,
): void {
  for (const row of run.forward.rows(rows)) {
    const dy = run.gradient(out, row);
    if (dy !== undefined) visit(row, dy);
  }
}

export function addToDepth(run: GradientRun, embedding: string, row: number, dy: Float64Array): void {
  const { rows, cols } = run.forward.parameter(embedding);
  addTo(run.parameterGradient(embedding), (Math.min(run.forward.depth(row), rows) - 1) * cols, dy);
}

export function addTo(sums: Float64Array, from: number, terms: ArrayLike<number>): void {
  addScaled(sums, from, terms, 1);
}

export function addScaled(sums: Float64Array, from: number, terms: ArrayLike<number>, factor: number): void {
  for (let i = 0; i < terms.length; i++) (sums[from + i] as number) += factor * (terms[i] as number);
}

/** sums += y xᵀ */
export function addOuter(sums: Float64Array, y: Float64Array, x: Floats | Float64Array): void {
  for (const [i, factor] of y.entries()) addScaled(sums, i * x.length, x, factor);
}

export function transposedProduct(matrix: Matrix, y: Float64Array): Float64Array {
  const sums = new Float64Array(matrix.cols);
  for (const [row, factor] of y.entries()) addScaled(sums, 0, rowOf(matrix, row), factor);
  return sums;
}
