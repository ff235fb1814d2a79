import type { ReferenceOperations } from "../operation.ts";
import { addTo, addToDepth, dot, eachRow, ofDepth, rowOf } from "../vectors.ts";

/** Which rows an operation reads. */
export const rowsOperations: ReferenceOperations<"embed" | "mask-embed" | "enter" | "join" | "gather"> = {
  embed: {
    forward: ({ rows, parameters, out }, run) => {
      const weight = run.parameter(parameters.weight);
      for (const row of run.rows(rows)) run.write(out, row, rowOf(weight, run.token(row)));
    },
    gradient: ({ forward: { rows, parameters, out } }, run) => {
      const { cols } = run.forward.parameter(parameters.weight);
      const weight = run.parameterGradient(parameters.weight);
      eachRow(run, rows, out, (row, dy) => addTo(weight, run.forward.token(row) * cols, dy));
    },
  },

  "mask-embed": {
    forward: ({ rows, parameters, out }, run) => {
      const embedding = run.parameter(parameters.embedding);
      for (const row of run.rows(rows)) run.write(out, row, ofDepth(embedding, run.depth(row)));
    },
    gradient: ({ forward: { rows, parameters, out } }, run) => {
      eachRow(run, rows, out, (row, dy) => addToDepth(run, parameters.embedding, row, dy));
    },
  },

  enter: {
    forward: ({ rows, inputs, parameters, out }, run) => {
      const embedding = run.parameter(parameters.embedding);
      const scale = run.parameter(parameters.scale).values[0] as number;
      for (const row of run.rows(rows)) {
        const ownEmbedding = ofDepth(embedding, run.depth(row));
        const anchor = run.read(inputs.x, run.anchor(row));
        run.write(
          out,
          row,
          anchor.map((x, i) => x * scale + (ownEmbedding[i] as number)),
        );
      }
    },
    gradient: ({ forward: { rows, inputs, parameters, out }, wanted }, run) => {
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
  },

  join: {
    forward: ({ rows, inputs, out }, run) => {
      for (const row of run.rows(rows))
        run.write(out, row, run.read(run.token(row) < 0 ? inputs.mask : inputs.token, row));
    },
    gradient: ({ forward: { rows, inputs, out }, wanted }, run) => {
      eachRow(run, rows, out, (row, dy) => {
        const part = run.forward.token(row) < 0 ? "mask" : "token";
        if (wanted.has(part)) run.add(inputs[part], row, dy);
      });
    },
  },

  gather: {
    forward: ({ rows, inputs, out }, run) => {
      for (const row of run.rows(rows)) run.write(out, row, run.read(inputs.x, row));
    },
    gradient: ({ forward: { rows, inputs, out } }, run) => {
      eachRow(run, rows, out, (row, dy) => run.add(inputs.x, row, dy));
    },
  },
};
