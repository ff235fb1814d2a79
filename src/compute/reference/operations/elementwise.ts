import type { Floats, ReferenceOperations } from "../operation.ts";
import { dot, eachRow } from "../vectors.ts";

/** Each row by itself, without matrices. */
export const elementwiseOperations: ReferenceOperations<"rmsnorm" | "swiglu" | "silu" | "add" | "concat"> = {
  rmsnorm: {
    forward: ({ rows, inputs, parameters, attributes, out }, run) => {
      const weight = parameters.weight === undefined ? undefined : run.parameter(parameters.weight).values;
      const { width, epsilon } = attributes;
      for (const row of run.rows(rows)) run.write(out, row, rmsnorm(run.read(inputs.x, row), weight, width, epsilon));
    },
    // y = x r w, r = (mean x² + ε)^(−1/2): dx = r (dy w − x r² · mean(dy w x))
    gradient: ({ forward: { rows, inputs, parameters, attributes, out }, wanted }, run) => {
      const { width, epsilon } = attributes;
      const weight = parameters.weight === undefined ? undefined : run.forward.parameter(parameters.weight).values;
      const weightGradient = wanted.has("weight") ? run.parameterGradient(parameters.weight as string) : undefined;
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
            if (weightGradient !== undefined)
              (weightGradient[i] as number) += (dy[from + i] as number) * (group[i] as number) * scale;
          }
        }
        if (wanted.has("x")) run.add(inputs.x, row, dx);
      });
    },
  },

  swiglu: {
    forward: ({ rows, inputs, out }, run) => {
      for (const row of run.rows(rows)) {
        const up = run.read(inputs.up, row);
        run.write(
          out,
          row,
          run.read(inputs.gate, row).map((gate, i) => silu(gate) * (up[i] as number)),
        );
      }
    },
    gradient: ({ forward: { rows, inputs, out }, wanted }, run) => {
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
  },

  silu: {
    forward: ({ rows, inputs, out }, run) => {
      for (const row of run.rows(rows)) run.write(out, row, run.read(inputs.x, row).map(silu));
    },
    gradient: ({ forward: { rows, inputs, out } }, run) => {
      eachRow(run, rows, out, (row, dy) => {
        const x = run.forward.read(inputs.x, row);
        run.add(
          inputs.x,
          row,
          dy.map((d, i) => d * siluSlope(x[i] as number)),
        );
      });
    },
  },

  add: {
    forward: ({ rows, inputs, out }, run) => {
      for (const row of run.rows(rows)) {
        const y = run.read(inputs.y, row);
        run.write(
          out,
          row,
          run.read(inputs.x, row).map((x, i) => x + (y[i] as number)),
        );
      }
    },
    gradient: ({ forward: { rows, inputs, out }, wanted }, run) => {
      eachRow(run, rows, out, (row, dy) => {
        if (wanted.has("x")) run.add(inputs.x, row, dy);
        if (wanted.has("y")) run.add(inputs.y, row, dy);
      });
    },
  },

  concat: {
    forward: ({ rows, inputs, out }, run) => {
      for (const row of run.rows(rows)) {
        run.write(out, row, Float32Array.of(...run.read(inputs.x, row), ...run.read(inputs.y, row)));
      }
    },
    gradient: ({ forward: { rows, inputs, out }, wanted }, run) => {
      eachRow(run, rows, out, (row, dy) => {
        const { length } = run.forward.read(inputs.x, row);
        if (wanted.has("x")) run.add(inputs.x, row, dy.subarray(0, length));
        if (wanted.has("y")) run.add(inputs.y, row, dy.subarray(length));
      });
    },
  },
};

function rmsnorm(x: Floats, weight: Floats | undefined, width: number, epsilon: number): Floats {
  const out = new Float32Array(x.length);
  for (let from = 0; from < x.length; from += width) {
    const group = x.subarray(from, from + width);
    const scale = 1 / Math.sqrt(dot(group, group) / width + epsilon);
    for (let i = 0; i < width; i++) out[from + i] = (x[from + i] as number) * scale * (weight?.[i] ?? 1);
  }
  return out;
}

function silu(x: number): number {
  return x / (1 + Math.exp(-x));
}

function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}

/** Derivative of silu: σ + x σ (1 − σ). */
function siluSlope(x: number): number {
  const s = sigmoid(x);
  return s * (1 + x * (1 - s));
}
