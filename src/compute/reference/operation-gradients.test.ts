import { describe, expect, it } from "vitest";
import { type Operation, type OperationKind, operationKinds } from "../program/operations.ts";
import { HEAD_INPUT } from "../program/program.ts";
import { differentiate, ParameterGradients } from "./gradient-runs.ts";
import { runList } from "./operations.ts";
import { headRun, type Parameters } from "./runs.ts";

const WIDTH = 6;
const random = (length: number, seed: number) =>
  Float32Array.from({ length }, (_, i) => 1.3 * Math.sin(12.9898 * (i + 1) + 78.233 * seed));

type Case = Pick<Operation, "inputs" | "parameters" | "attributes">;

const none = { parameters: {}, attributes: {} };
const [x, y] = [HEAD_INPUT, "y"];

/** An operation of each kind; undefined: it needs a forest, and the programs of gradients.test.ts have it. */
const cases: Readonly<Record<OperationKind, Case | undefined>> = {
  rmsnorm: { inputs: { x }, parameters: { weight: "vector" }, attributes: { epsilon: 1e-5, width: WIDTH / 2 } },
  linear: { inputs: { x }, parameters: { weight: "matrix", bias: "bias" }, attributes: {} },
  logits: { inputs: { x }, parameters: { weight: "matrix" }, attributes: {} },
  swiglu: { inputs: { gate: x, up: y }, ...none },
  silu: { inputs: { x }, ...none },
  add: { inputs: { x, y }, ...none },
  concat: { inputs: { x, y }, ...none },
  ...{ embed: undefined, "mask-embed": undefined, enter: undefined, join: undefined, gather: undefined },
  ...{ lora: undefined, rope: undefined, attention: undefined },
};

const matrix = (rows: number, cols: number, seed: number) => ({ rows, cols, values: random(rows * cols, seed) });
const parametersHere = (): Parameters => ({
  matrices: new Map([
    ["vector", matrix(1, WIDTH / 2, 3)],
    ["matrix", matrix(4, WIDTH, 4)],
    ["bias", matrix(1, 4, 5)],
  ]),
  ids: new Map(),
  rope: { inverseFrequencies: new Float64Array(), attentionFactor: 1 },
});

describe("gradients of single operations are slopes", () => {
  it.each(Object.entries(cases).filter(([, found]) => found !== undefined))("%s", (kind, given) => {
    const operation = { kind, rows: "head", out: "out", ...given } as Operation;
    const weightOf = random(2 * WIDTH, 6);
    const parameters = parametersHere();
    const values = { [x]: random(WIDTH, 1), [y]: random(WIDTH, 2) };
    const run = () => {
      const forward = headRun([values[x] as Float32Array], [0], parameters);
      forward.write(y, 0, values[y] as Float32Array);
      runList([operation], forward);
      return forward;
    };
    const result = () =>
      run()
        .read("out", 0)
        .reduce((sum, value, i) => sum + value * (weightOf[i] as number), 0);
    /** Compares with the slope of the result along each element. */
    const expectSlopes = (floats: Float32Array, gradient: Float64Array, name: string) => {
      const h = 2 ** -8;
      floats.forEach((value, i) => {
        floats[i] = value + h;
        const above = result();
        floats[i] = value - h;
        const slope = (above - result()) / (2 * h);
        floats[i] = value;
        expect(Math.abs(slope - (gradient[i] as number)), `${name} ${i}`).toBeLessThan(2e-3);
      });
    };
    const gradients = new Map([[0, Float64Array.from(run().read("out", 0), (_, i) => weightOf[i] as number)]]);
    const seed = { value: "out", gradients };
    const trainable: readonly string[] = operationKinds[operation.kind].gradients;
    for (const [name, value] of Object.entries(operation.inputs) as [string, string][]) {
      if (!trainable.includes(name)) continue;
      const sums = new ParameterGradients(parameters);
      const found = differentiate([operation], run(), seed, { isTrainable: () => false, input: value, sums });
      expectSlopes(values[value] as Float32Array, found.get(0) as Float64Array, name);
    }
    for (const [name, id] of Object.entries(operation.parameters) as [string, string][]) {
      if (!trainable.includes(name)) continue;
      const sums = new ParameterGradients(parameters);
      differentiate([operation], run(), seed, { isTrainable: (other) => other === id, sums });
      expectSlopes(parameters.matrices.get(id)?.values as Float32Array, sums.of(id), name);
    }
  });
});
