import { sineCosine } from "../elementary.ts";
import type { Operation, OperationKind, RowSet } from "../program/operations.ts";
import type { Rope } from "../program/program.ts";
import type { ReferenceCache } from "./reference-cache.ts";

export type Floats = Float32Array;

/** Row-major [rows, cols]. */
export interface Matrix {
  readonly rows: number;
  readonly cols: number;
  readonly values: Float32Array;
}

/** The state of operations: the values of a run of a list, its rows, and the parameters. */
export interface Run {
  /** Rows of a set, in the order of the forest's layout. */
  rows(set: RowSet): readonly number[];
  read(value: string, row: number): Floats;
  write(value: string, row: number, floats: Floats): void;
  parameter(id: string): Matrix;
  /** A parameter of ids. */
  ids(id: string): Int32Array;
  /** The row's token; in a head the previous one. */
  token(row: number): number;
  position(row: number): number;
  /** Of a MASK row: MASK rows from its anchor down, itself included. */
  depth(row: number): number;
  /** Of a MASK row: the token row that its run hangs off. */
  anchor(row: number): number;
  isGated(row: number): boolean;
  /** Addresses in the cache of the slots that the row attends to, in order: cached positions, its ancestors, itself. */
  visible(row: number): readonly number[];
  readonly cache: ReferenceCache;
  readonly rope: Rope;
}

/** Runs one operation of each kind, row by row. ../program/operations.ts describes the kinds. */
export const runOperation: { readonly [K in OperationKind]: (operation: Operation<K>, run: Run) => void } = {
  embed: ({ rows, parameters, out }, run) => {
    const weight = run.parameter(parameters.weight);
    for (const row of run.rows(rows)) run.write(out, row, rowOf(weight, run.token(row)));
  },

  "mask-embed": ({ rows, parameters, out }, run) => {
    const embedding = run.parameter(parameters.embedding);
    for (const row of run.rows(rows)) run.write(out, row, ofDepth(embedding, run.depth(row)));
  },

  enter: ({ rows, inputs, parameters, out }, run) => {
    const embedding = run.parameter(parameters.embedding);
    const scale = run.parameter(parameters.scale).values[0] as number;
    for (const row of run.rows(rows)) {
      const own = ofDepth(embedding, run.depth(row));
      const anchor = run.read(inputs.x, run.anchor(row));
      run.write(
        out,
        row,
        anchor.map((x, i) => x * scale + (own[i] as number)),
      );
    }
  },

  join: ({ rows, inputs, out }, run) => {
    for (const row of run.rows(rows))
      run.write(out, row, run.read(run.token(row) < 0 ? inputs.mask : inputs.token, row));
  },

  rmsnorm: ({ rows, inputs, parameters, attributes, out }, run) => {
    const weight = parameters.weight === undefined ? undefined : run.parameter(parameters.weight).values;
    const { width, epsilon } = attributes;
    for (const row of run.rows(rows)) run.write(out, row, rmsnorm(run.read(inputs.x, row), weight, width, epsilon));
  },

  linear: ({ rows, inputs, parameters, out }, run) => {
    const weight = run.parameter(parameters.weight);
    const bias = parameters.bias === undefined ? undefined : run.parameter(parameters.bias).values;
    for (const row of run.rows(rows)) {
      const y = product(weight, run.read(inputs.x, row)).map((sum, i) => sum + (bias?.[i] ?? 0));
      run.write(out, row, Float32Array.from(y));
    }
  },

  lora: ({ rows, inputs, parameters, attributes, out }, run) => {
    const a = run.parameter(parameters.a);
    const b = run.parameter(parameters.b);
    for (const row of run.rows(rows)) {
      const y = run.read(inputs.y, row);
      if (!run.isGated(row)) {
        run.write(out, row, y);
        continue;
      }
      const term = product(b, product(a, run.read(inputs.x, row)));
      run.write(
        out,
        row,
        y.map((sum, i) => sum + attributes.scale * (term[i] as number)),
      );
    }
  },

  rope: ({ rows, inputs, attributes, out }, run) => {
    for (const row of run.rows(rows)) {
      run.write(out, row, rotated(run.read(inputs.x, row), run.position(row), attributes.headDim, run.rope));
    }
  },

  attention: ({ rows, inputs, attributes, out }, run) => {
    const { layer, window } = attributes;
    for (const row of run.rows(rows)) {
      run.cache.store(layer, run.visible(row).at(-1) as number, run.read(inputs.k, row), run.read(inputs.v, row));
    }
    for (const row of run.rows(rows)) {
      const seen = window === undefined ? run.visible(row) : run.visible(row).slice(-window);
      run.write(out, row, attend(run.read(inputs.q, row), seen, run.cache, attributes));
    }
  },

  swiglu: ({ rows, inputs, out }, run) => {
    for (const row of run.rows(rows)) {
      const up = run.read(inputs.up, row);
      run.write(
        out,
        row,
        run.read(inputs.gate, row).map((gate, i) => silu(gate) * (up[i] as number)),
      );
    }
  },

  silu: ({ rows, inputs, out }, run) => {
    for (const row of run.rows(rows)) run.write(out, row, run.read(inputs.x, row).map(silu));
  },

  add: ({ rows, inputs, out }, run) => {
    for (const row of run.rows(rows)) {
      const y = run.read(inputs.y, row);
      run.write(
        out,
        row,
        run.read(inputs.x, row).map((x, i) => x + (y[i] as number)),
      );
    }
  },

  concat: ({ rows, inputs, out }, run) => {
    for (const row of run.rows(rows)) {
      run.write(out, row, Float32Array.of(...run.read(inputs.x, row), ...run.read(inputs.y, row)));
    }
  },

  gather: ({ rows, inputs, out }, run) => {
    for (const row of run.rows(rows)) run.write(out, row, run.read(inputs.x, row));
  },

  logits: ({ rows, inputs, parameters, out }, run) => {
    const weight = run.parameter(parameters.weight);
    const ids = parameters.ids === undefined ? undefined : run.ids(parameters.ids);
    for (const row of run.rows(rows)) {
      const x = run.read(inputs.x, row);
      const logit = (_: unknown, i: number) => dot(rowOf(weight, ids?.[i] ?? i), x);
      run.write(out, row, Float32Array.from({ length: ids?.length ?? weight.rows }, logit));
    }
  },
};

/** Runs a list in order. */
export function runList(operations: readonly Operation[], run: Run): void {
  for (const operation of operations) runOne(operation, run);
}

function runOne<K extends OperationKind>(operation: Operation<K>, run: Run): void {
  const { kind } = operation as { readonly kind: K };
  runOperation[kind](operation, run);
}

export function rowOf({ values, cols }: Matrix, row: number): Floats {
  return values.subarray(row * cols, (row + 1) * cols);
}

function ofDepth(embedding: Matrix, depth: number): Floats {
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

function rmsnorm(x: Floats, weight: Floats | undefined, width: number, epsilon: number): Floats {
  const out = new Float32Array(x.length);
  for (let from = 0; from < x.length; from += width) {
    const group = x.subarray(from, from + width);
    const scale = 1 / Math.sqrt(dot(group, group) / width + epsilon);
    for (let i = 0; i < width; i++) out[from + i] = (x[from + i] as number) * scale * (weight?.[i] ?? 1);
  }
  return out;
}

function rotated(x: Floats, position: number, headDim: number, rope: Rope): Floats {
  const half = headDim / 2;
  const out = new Float32Array(x.length);
  angles(position, headDim, rope).forEach(([s, c], i) => {
    for (let head = 0; head < x.length; head += headDim) {
      const a = x[head + i] as number;
      const b = x[head + i + half] as number;
      out[head + i] = a * c - b * s;
      out[head + i + half] = b * c + a * s;
    }
  });
  return out;
}

/** Sine and cosine, times the attention factor, that pair i of a head is rotated by. */
export function angles(position: number, headDim: number, rope: Rope): (readonly [number, number])[] {
  return Array.from({ length: headDim / 2 }, (_, i) => {
    const [sine, cosine] = sineCosine(position * (rope.inverseFrequencies[i] as number));
    return [sine * rope.attentionFactor, cosine * rope.attentionFactor];
  });
}

/** One row attends to the given slots, in order: softmax of q·k / √headDim over them, times v. */
function attend(
  q: Floats,
  slots: readonly number[],
  cache: ReferenceCache,
  { layer, nHeads, nKvHeads, headDim }: Operation<"attention">["attributes"],
): Floats {
  const out = new Float32Array(q.length);
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
  return out;
}

function silu(x: number): number {
  return x / (1 + Math.exp(-x));
}

export function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}
