import type { BackwardOperation } from "../gradients/backward-list.ts";
import type { OperationKind } from "../program/operations.ts";
import { angles, dot, type Floats, type Matrix, product, type Run, rowOf, sigmoid } from "./operations.ts";

/** Gradients of one run of a list, beside its values. All sums are in float64. */
export interface GradientRun {
  /** The run of the forward, whose values are kept. */
  readonly forward: Run;
  /** Gradient of a value's row; undefined: no contribution. */
  gradient(value: string, row: number): Float64Array | undefined;
  add(value: string, row: number, gradient: Float64Array): void;
  /** Of a parameter, row-major: to be added to. */
  parameterGradient(id: string): Float64Array;
  /** The row whose K and V are at an address of the cache; undefined: not a row of this run. */
  rowAt(place: number): number | undefined;
}

/**
 * Adds the gradients of one operation of each kind, row by row, from the gradient of its result (`dy` below). In the
 * order of the forwards in ./operations.ts.
 */
export const runGradient: {
  readonly [K in OperationKind]: (operation: BackwardOperation<K>, run: GradientRun) => void;
} = {
  embed: ({ forward: { rows, parameters, out } }, run) => {
    const { cols } = run.forward.parameter(parameters.weight);
    const weight = run.parameterGradient(parameters.weight);
    eachRow(run, rows, out, (row, dy) => addTo(weight, run.forward.token(row) * cols, dy));
  },

  "mask-embed": ({ forward: { rows, parameters, out } }, run) => {
    eachRow(run, rows, out, (row, dy) => addToDepth(run, parameters.embedding, row, dy));
  },

  enter: ({ forward: { rows, inputs, parameters, out }, wanted }, run) => {
    const scale = run.forward.parameter(parameters.scale).values[0] as number;
    eachRow(run, rows, out, (row, dy) => {
      const anchor = run.forward.anchor(row);
      if (wanted.has("embedding")) addToDepth(run, parameters.embedding, row, dy);
      if (wanted.has("scale")) {
        addTo(run.parameterGradient(parameters.scale), 0, [dot(dy, run.forward.read(inputs.x, anchor))]);
      }
      if (wanted.has("x"))
        run.add(
          inputs.x,
          anchor,
          dy.map((d) => d * scale),
        );
    });
  },

  join: ({ forward: { rows, inputs, out }, wanted }, run) => {
    eachRow(run, rows, out, (row, dy) => {
      const part = run.forward.token(row) < 0 ? "mask" : "token";
      if (wanted.has(part)) run.add(inputs[part], row, dy);
    });
  },

  // y = x r w, r = (mean x² + ε)^(−1/2): dx = r (dy w − x r² · mean(dy w x))
  rmsnorm: ({ forward: { rows, inputs, parameters, attributes, out }, wanted }, run) => {
    const { width, epsilon } = attributes;
    const weight = parameters.weight === undefined ? undefined : run.forward.parameter(parameters.weight).values;
    const own = wanted.has("weight") ? run.parameterGradient(parameters.weight as string) : undefined;
    eachRow(run, rows, out, (row, dy) => {
      const x = run.forward.read(inputs.x, row);
      const dx = new Float64Array(x.length);
      for (let from = 0; from < x.length; from += width) {
        const group = x.subarray(from, from + width);
        const scale = 1 / Math.sqrt(dot(group, group) / width + epsilon);
        const scaled = Float64Array.from(group, (_, i) => (dy[from + i] as number) * (weight?.[i] ?? 1));
        const shared = (scale * scale * dot(scaled, group)) / width;
        for (let i = 0; i < width; i++) {
          dx[from + i] = scale * ((scaled[i] as number) - (group[i] as number) * shared);
          if (own !== undefined) (own[i] as number) += (dy[from + i] as number) * (group[i] as number) * scale;
        }
      }
      if (wanted.has("x")) run.add(inputs.x, row, dx);
    });
  },

  linear: ({ forward: { rows, inputs, parameters, out }, wanted }, run) => {
    const weight = run.forward.parameter(parameters.weight);
    eachRow(run, rows, out, (row, dy) => {
      if (wanted.has("x")) run.add(inputs.x, row, transposedProduct(weight, dy));
      if (wanted.has("weight")) addOuter(run.parameterGradient(parameters.weight), dy, run.forward.read(inputs.x, row));
      if (wanted.has("bias")) addTo(run.parameterGradient(parameters.bias as string), 0, dy);
    });
  },

  lora: ({ forward: { rows, inputs, parameters, attributes, out }, wanted }, run) => {
    const a = run.forward.parameter(parameters.a);
    const b = run.forward.parameter(parameters.b);
    eachRow(run, rows, out, (row, dy) => {
      if (wanted.has("y")) run.add(inputs.y, row, dy);
      if (!run.forward.isGated(row)) return;
      const x = run.forward.read(inputs.x, row);
      const scaled = dy.map((d) => d * attributes.scale);
      const inner = transposedProduct(b, scaled);
      if (wanted.has("b")) addOuter(run.parameterGradient(parameters.b), scaled, product(a, x));
      if (wanted.has("a")) addOuter(run.parameterGradient(parameters.a), inner, x);
      if (wanted.has("x")) run.add(inputs.x, row, transposedProduct(a, inner));
    });
  },

  // The rotation by the negative angle.
  rope: ({ forward: { rows, inputs, attributes, out } }, run) => {
    const { headDim } = attributes;
    eachRow(run, rows, out, (row, dy) => {
      const dx = new Float64Array(dy.length);
      angles(run.forward.position(row), headDim, run.forward.rope).forEach(([sine, cosine], i) => {
        for (let a = i; a < dy.length; a += headDim) {
          const b = a + headDim / 2;
          dx[a] = (dy[a] as number) * cosine + (dy[b] as number) * sine;
          dx[b] = (dy[b] as number) * cosine - (dy[a] as number) * sine;
        }
      });
      run.add(inputs.x, row, dx);
    });
  },

  /**
   * o = Σ_j w_j v_j, w the softmax of s_j = q·k_j / √d. With g_j = do·v_j: ds_j = w_j (g_j − Σ w g); dq = Σ ds_j k_j / √d,
   * dk_j = ds_j q / √d, dv_j = w_j do. Rounding to the cache's type counts as the identity. What is cached and not of
   * this run is constant.
   */
  attention: ({ forward: { rows, inputs, attributes, out }, wanted }, run) => {
    const { layer, nHeads, nKvHeads, headDim, window } = attributes;
    const { cache } = run.forward;
    const group = nHeads / nKvHeads;
    const root = Math.sqrt(headDim);
    eachRow(run, rows, out, (row, dy) => {
      const all = run.forward.visible(row);
      const places = window === undefined ? all : all.slice(-window);
      const q = run.forward.read(inputs.q, row);
      const dq = new Float64Array(q.length);
      const own = places.map(() => ({
        dk: new Float64Array(nKvHeads * headDim),
        dv: new Float64Array(nKvHeads * headDim),
      }));
      for (let head = 0; head < nHeads; head++) {
        const at = Math.floor(head / group) * headDim;
        const ownQ = q.subarray(head * headDim, (head + 1) * headDim);
        const ownDy = dy.subarray(head * headDim, (head + 1) * headDim);
        const keys = places.map((place) => cache.key(layer, place).subarray(at, at + headDim));
        const weights = softmax(keys.map((key) => dot(ownQ, key) / root));
        const products = places.map((place) => dot(ownDy, cache.value(layer, place).subarray(at, at + headDim)));
        const mean = dot(weights, products);
        weights.forEach((weight, j) => {
          const ds = (weight * ((products[j] as number) - mean)) / root;
          const { dk, dv } = own[j] as (typeof own)[number];
          for (let d = 0; d < headDim; d++) {
            (dq[head * headDim + d] as number) += ds * (keys[j]?.[d] as number);
            (dk[at + d] as number) += ds * (ownQ[d] as number);
            (dv[at + d] as number) += weight * (ownDy[d] as number);
          }
        });
      }
      if (wanted.has("q")) run.add(inputs.q, row, dq);
      places.forEach((place, j) => {
        const seen = run.rowAt(place);
        if (seen === undefined) return;
        const { dk, dv } = own[j] as (typeof own)[number];
        if (wanted.has("k")) run.add(inputs.k, seen, dk);
        if (wanted.has("v")) run.add(inputs.v, seen, dv);
      });
    });
  },

  swiglu: ({ forward: { rows, inputs, out }, wanted }, run) => {
    eachRow(run, rows, out, (row, dy) => {
      const gate = run.forward.read(inputs.gate, row);
      const up = run.forward.read(inputs.up, row);
      if (wanted.has("gate"))
        run.add(
          inputs.gate,
          row,
          dy.map((d, i) => d * (up[i] as number) * siluSlope(gate[i] as number)),
        );
      if (wanted.has("up"))
        run.add(
          inputs.up,
          row,
          dy.map((d, i) => d * (gate[i] as number) * sigmoid(gate[i] as number)),
        );
    });
  },

  silu: ({ forward: { rows, inputs, out } }, run) => {
    eachRow(run, rows, out, (row, dy) => {
      const x = run.forward.read(inputs.x, row);
      run.add(
        inputs.x,
        row,
        dy.map((d, i) => d * siluSlope(x[i] as number)),
      );
    });
  },

  add: ({ forward: { rows, inputs, out }, wanted }, run) => {
    eachRow(run, rows, out, (row, dy) => {
      if (wanted.has("x")) run.add(inputs.x, row, dy);
      if (wanted.has("y")) run.add(inputs.y, row, dy);
    });
  },

  concat: ({ forward: { rows, inputs, out }, wanted }, run) => {
    eachRow(run, rows, out, (row, dy) => {
      const { length } = run.forward.read(inputs.x, row);
      if (wanted.has("x")) run.add(inputs.x, row, dy.subarray(0, length));
      if (wanted.has("y")) run.add(inputs.y, row, dy.subarray(length));
    });
  },

  gather: ({ forward: { rows, inputs, out } }, run) => {
    eachRow(run, rows, out, (row, dy) => run.add(inputs.x, row, dy));
  },

  logits: ({ forward: { rows, inputs, parameters, out }, wanted }, run) => {
    const weight = run.forward.parameter(parameters.weight);
    const ids = parameters.ids === undefined ? undefined : run.forward.ids(parameters.ids);
    const { cols } = weight;
    eachRow(run, rows, out, (row, dy) => {
      const x = run.forward.read(inputs.x, row);
      const dx = new Float64Array(cols);
      dy.forEach((d, i) => {
        const id = ids?.[i] ?? i;
        addScaled(dx, 0, rowOf(weight, id), d);
        if (wanted.has("weight")) addScaled(run.parameterGradient(parameters.weight), id * cols, x, d);
      });
      if (wanted.has("x")) run.add(inputs.x, row, dx);
    });
  },
};

/** Runs a backward list in order. */
export function runBackward(list: readonly BackwardOperation[], run: GradientRun): void {
  for (const operation of list) runOne(operation, run);
}

function runOne<K extends OperationKind>(operation: BackwardOperation<K>, run: GradientRun): void {
  const { kind } = operation as { readonly kind: K };
  runGradient[kind](operation, run);
}

/** The operation's rows that a gradient flowed to. */
function eachRow(
  run: GradientRun,
  rows: Parameters<Run["rows"]>[0],
  out: string,
  visit: (row: number, dy: Float64Array) => void,
): void {
  for (const row of run.forward.rows(rows)) {
    const dy = run.gradient(out, row);
    if (dy !== undefined) visit(row, dy);
  }
}

function addToDepth(run: GradientRun, embedding: string, row: number, dy: Float64Array): void {
  const { rows, cols } = run.forward.parameter(embedding);
  addTo(run.parameterGradient(embedding), (Math.min(run.forward.depth(row), rows) - 1) * cols, dy);
}

function addTo(sums: Float64Array, from: number, terms: ArrayLike<number>): void {
  addScaled(sums, from, terms, 1);
}

function addScaled(sums: Float64Array, from: number, terms: ArrayLike<number>, factor: number): void {
  for (let i = 0; i < terms.length; i++) (sums[from + i] as number) += factor * (terms[i] as number);
}

/** sums += y xᵀ */
function addOuter(sums: Float64Array, y: Float64Array, x: Floats | Float64Array): void {
  for (const [i, factor] of y.entries()) addScaled(sums, i * x.length, x, factor);
}

function transposedProduct(matrix: Matrix, y: Float64Array): Float64Array {
  const sums = new Float64Array(matrix.cols);
  for (const [row, factor] of y.entries()) addScaled(sums, 0, rowOf(matrix, row), factor);
  return sums;
}

function softmax(scores: readonly number[]): number[] {
  const largest = scores.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const weights = scores.map((score) => Math.exp(score - largest));
  const total = weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => weight / total);
}

/** Derivative of silu: σ + x σ (1 − σ). */
function siluSlope(x: number): number {
  const s = sigmoid(x);
  return s * (1 + x * (1 - s));
}
