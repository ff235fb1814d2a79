import { sineCosine } from "../../elementary.ts";
import type { Operation } from "../../program/operations.ts";
import type { Rope } from "../../program/program.ts";
import type { Floats, ReferenceOperations } from "../operation.ts";
import type { ReferenceCache } from "../reference-cache.ts";
import { dot, eachRow } from "../vectors.ts";

/** Attention and the rotation of its inputs. */
export const attentionOperations: ReferenceOperations<"rope" | "attention"> = {
  rope: {
    forward: ({ rows, inputs, attributes, out }, run) => {
      for (const row of run.rows(rows)) {
        run.write(out, row, rotated(run.read(inputs.x, row), run.position(row), attributes.headDim, run.rope));
      }
    },
    // The rotation by the negative angle.
    gradient: ({ forward: { rows, inputs, attributes, out } }, run) => {
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
  },

  attention: {
    forward: ({ rows, inputs, attributes, out }, run) => {
      const { layer, window } = attributes;
      for (const row of run.rows(rows)) {
        run.cache.store(layer, run.visible(row).at(-1) as number, run.read(inputs.k, row), run.read(inputs.v, row));
      }
      for (const row of run.rows(rows)) {
        const seen = window === undefined ? run.visible(row) : run.visible(row).slice(-window);
        run.write(out, row, attend(run.read(inputs.q, row), seen, run.cache, attributes));
      }
    },
    /**
     * o = Σ_j w_j v_j, w the softmax of s_j = q·k_j / √d. With g_j = do·v_j: ds_j = w_j (g_j − Σ w g); dq = Σ ds_j k_j / √d,
     * dk_j = ds_j q / √d, dv_j = w_j do. Rounding to the cache's type counts as the identity. What is cached and not of
     * this run is constant.
     */
    gradient: ({ forward: { rows, inputs, attributes, out }, wanted }, run) => {
      const { layer, nHeads, nKvHeads, headDim, window } = attributes;
      const { cache } = run.forward;
      const group = nHeads / nKvHeads;
      const root = Math.sqrt(headDim);
      eachRow(run, rows, out, (row, dy) => {
        const all = run.forward.visible(row);
        const places = window === undefined ? all : all.slice(-window);
        const q = run.forward.read(inputs.q, row);
        const dq = new Float64Array(q.length);
        const gradients = places.map(() => ({
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
            const { dk, dv } = gradients[j] as (typeof gradients)[number];
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
          const { dk, dv } = gradients[j] as (typeof gradients)[number];
          if (wanted.has("k")) run.add(inputs.k, seen, dk);
          if (wanted.has("v")) run.add(inputs.v, seen, dv);
        });
      });
    },
  },
};

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
function angles(position: number, headDim: number, rope: Rope): (readonly [number, number])[] {
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

function softmax(scores: readonly number[]): number[] {
  const largest = scores.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const weights = scores.map((score) => Math.exp(score - largest));
  const total = weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => weight / total);
}
