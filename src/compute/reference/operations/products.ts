import type { ReferenceOperations } from "../operation.ts";
import { addOuter, addScaled, addTo, dot, eachRow, product, rowOf, transposedProduct } from "../vectors.ts";

/** Products with matrices. */
export const productsOperations: ReferenceOperations<"linear" | "lora" | "logits"> = {
  linear: {
    forward: ({ rows, inputs, parameters, out }, run) => {
      const weight = run.parameter(parameters.weight);
      const bias = parameters.bias === undefined ? undefined : run.parameter(parameters.bias).values;
      for (const row of run.rows(rows)) {
        const y = product(weight, run.read(inputs.x, row)).map((sum, i) => sum + (bias?.[i] ?? 0));
        run.write(out, row, Float32Array.from(y));
      }
    },
    gradient: ({ forward: { rows, inputs, parameters, out }, wanted }, run) => {
      const weight = run.forward.parameter(parameters.weight);
      eachRow(run, rows, out, (row, dy) => {
        if (wanted.has("x")) run.add(inputs.x, row, transposedProduct(weight, dy));
        if (wanted.has("weight"))
          addOuter(run.parameterGradient(parameters.weight), dy, run.forward.read(inputs.x, row));
        if (wanted.has("bias")) addTo(run.parameterGradient(parameters.bias as string), 0, dy);
      });
    },
  },

  lora: {
    forward: ({ rows, inputs, parameters, attributes, out }, run) => {
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
    gradient: ({ forward: { rows, inputs, parameters, attributes, out }, wanted }, run) => {
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
  },

  logits: {
    forward: ({ rows, inputs, parameters, out }, run) => {
      const weight = run.parameter(parameters.weight);
      const ids = parameters.ids === undefined ? undefined : run.ids(parameters.ids);
      for (const row of run.rows(rows)) {
        const x = run.read(inputs.x, row);
        const logit = (_: unknown, i: number) => dot(rowOf(weight, ids?.[i] ?? i), x);
        run.write(out, row, Float32Array.from({ length: ids?.length ?? weight.rows }, logit));
      }
    },
    gradient: ({ forward: { rows, inputs, parameters, out }, wanted }, run) => {
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
  },
};
