import { layOutForest } from "../forest/layout.ts";
import { type BackwardOperation, backwardList } from "../gradients/backward-list.ts";
import type { TrainingForest } from "../gradients/training-forests.ts";
import type { Operation } from "../program/operations.ts";
import type { Program } from "../program/program.ts";
import type { GradientRun, Run } from "./operation.ts";
import { runBackward, runList } from "./operations.ts";
import { ReferenceCache } from "./reference-cache.ts";
import { forestRun, type Parameters } from "./runs.ts";

/** Sums of the gradients of parameters, by id. */
export class ParameterGradients {
  readonly #sums = new Map<string, Float64Array>();
  readonly #parameters: Parameters;

  constructor(parameters: Parameters) {
    this.#parameters = parameters;
  }

  of(id: string): Float64Array {
    const found = this.#sums.get(id);
    if (found !== undefined) return found;
    const sum = new Float64Array(this.#parameters.matrices.get(id)?.values.length ?? 0);
    this.#sums.set(id, sum);
    return sum;
  }

  /** Gradients of these parameters; zeros without a contribution. */
  finish(ids: Iterable<string>): ReadonlyMap<string, Float32Array> {
    return new Map([...ids].map((id) => [id, Float32Array.from(this.of(id))]));
  }
}

/** The forward of a sequence in training, kept for its gradients. */
export interface TrainingRun {
  readonly run: Run;
  /** The run's row of a row of the forest that needs output. */
  rowOf(forestRow: number): number;
  /** Whether the row is of a MASK (token −1). */
  readonly rowAt: GradientRun["rowAt"];
}

export function runForest(program: Program, parameters: Parameters, { forest, nPages }: TrainingForest): TrainingRun {
  const layout = layOutForest(forest, program, nPages);
  const run = forestRun(layout, parameters, new ReferenceCache(program, nPages));
  runList(program.forward, run);
  const rows = new Map(run.rows("all").map((row) => [layout.place(0, layout.of(row, "slot")), row]));
  return {
    run,
    rowOf: (forestRow) => layout.outputs[layout.outputOf(forestRow)] as number,
    rowAt: (place) => rows.get(place),
  };
}

/** The rows of a value that have a gradient, with it. */
export type RowGradients = ReadonlyMap<number, Float64Array>;

/** Runs the gradients of a list from those of `seed`; returns those of `input`, a value that the list reads. */
export function differentiate(
  operations: readonly Operation[],
  forward: Run,
  seed: { readonly value: string; readonly gradients: RowGradients },
  options: {
    readonly isTrainable: (id: string) => boolean;
    readonly input?: string;
    readonly rowAt?: GradientRun["rowAt"];
    readonly sums: ParameterGradients;
  },
): RowGradients {
  const list: readonly BackwardOperation[] = backwardList(operations, {
    seeds: [seed.value],
    isTrainable: options.isTrainable,
    inputs: options.input === undefined ? [] : [options.input],
  });
  const values = new Map<string, Map<number, Float64Array>>([[seed.value, new Map(seed.gradients)]]);
  runBackward(list, {
    forward,
    gradient: (value, row) => values.get(value)?.get(row),
    add: (value, row, gradient) => {
      const rows = values.get(value) ?? new Map<number, Float64Array>();
      values.set(value, rows);
      const before = rows.get(row);
      rows.set(row, before === undefined ? gradient : gradient.map((g, i) => g + (before[i] as number)));
    },
    parameterGradient: (id) => options.sums.of(id),
    rowAt: options.rowAt ?? (() => undefined),
  });
  return values.get(options.input ?? "") ?? new Map();
}
