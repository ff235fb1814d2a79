import type { ForestLayout } from "../forest/layout.ts";
import { loadedValues } from "../program/loaded-values.ts";
import type { RowSet } from "../program/operations.ts";
import { HEAD_INPUT, type HeadProgram, idsOf, type Program, type Rope } from "../program/program.ts";
import type { Floats, Matrix, Run } from "./operation.ts";
import { runList } from "./operations.ts";
import type { ReferenceCache } from "./reference-cache.ts";

/** A program's parameters as float32. */
export interface Parameters {
  readonly matrices: Map<string, Matrix>;
  readonly ids: ReadonlyMap<string, Int32Array>;
  readonly rope: Rope;
}

/** Reads all parameters; those of the base are taken from `shared`, if given. */
export function readParameters(program: Program, shared?: Parameters): Parameters {
  const matrices = new Map<string, Matrix>();
  const ids = new Map<string, Int32Array>();
  for (const [id, parameter] of Object.entries(program.parameters)) {
    if (parameter.type === "I32") ids.set(id, idsOf(parameter));
    else if (shared !== undefined && parameter.origin === "base") matrices.set(id, entryOf(shared.matrices, id));
    else matrices.set(id, { rows: parameter.rows, cols: parameter.cols, values: loadedValues(id, parameter) });
  }
  return { matrices, ids, rope: program.rope };
}

/** A run of a program's list over a forest. Its rows are those of the layout: token rows first. */
export function forestRun(layout: ForestLayout, parameters: Parameters, cache: ReferenceCache): Run {
  const { nRows, nTokenRows, nTokenOutputs } = layout;
  const all = [...Array(nRows).keys()];
  const output = [...layout.outputs];
  const rows: Readonly<Record<RowSet, readonly number[]>> = {
    all,
    token: all.slice(0, nTokenRows),
    mask: all.slice(nTokenRows),
    output,
    "output-token": output.slice(0, nTokenOutputs),
    "output-mask": output.slice(nTokenOutputs),
    head: [],
  };
  return {
    ...newValues(parameters),
    rows: (set) => rows[set],
    token: (row) => layout.of(row, "token"),
    position: (row) => layout.of(row, "position"),
    depth: (row) => layout.of(row, "depth"),
    anchor: (row) => layout.of(row, "anchor"),
    isGated: (row) => layout.of(row, "gate") === 1,
    visible: (row) => layout.visible(row),
    cache,
  };
}

/** A run of a head's list, whose rows are pairs of a hidden state and the token before the predicted one. */
export function headRun(hidden: readonly Floats[], previous: readonly number[], parameters: Parameters): Run {
  const unknown = (): never => {
    throw new Error("a head has no forest");
  };
  const rows = [...hidden.keys()];
  const run: Run = {
    ...newValues(parameters),
    rows: (set) => (set === "head" ? rows : []),
    token: (row) => previous[row] ?? unknown(),
    ...{ position: unknown, depth: unknown, anchor: unknown, isGated: unknown, visible: unknown },
    get cache(): never {
      return unknown();
    },
  };
  for (const row of rows) run.write(HEAD_INPUT, row, hidden[row] ?? unknown());
  return run;
}

/** Logits of a head, of one hidden state and the token before the predicted one. */
export function runHead(head: HeadProgram, hidden: Floats, previous: number, parameters: Parameters): Floats {
  const run = headRun([hidden], [previous], parameters);
  runList(head.operations, run);
  return run.read(head.logits, 0);
}

/** Common part of all runs: their values, and the program's parameters. */
function newValues({ matrices, ids, rope }: Parameters): Pick<Run, "read" | "write" | "parameter" | "ids" | "rope"> {
  const values = new Map<string, Map<number, Floats>>();
  return {
    read: (value, row) => {
      const floats = values.get(value)?.get(row);
      if (floats === undefined) throw new Error(`${value} has no row ${row}`);
      return floats;
    },
    write: (value, row, floats) => {
      const rows = values.get(value) ?? new Map<number, Floats>();
      values.set(value, rows.set(row, floats));
    },
    parameter: (id) => entryOf(matrices, id),
    ids: (id) => entryOf(ids, id),
    rope,
  };
}

function entryOf<T>(map: ReadonlyMap<string, T>, id: string): T {
  const found = map.get(id);
  if (found === undefined) throw new Error(`${id} is not there`);
  return found;
}

/** Replaces parameters. @throws Error if one is unknown or of another size. */
export function replaceIn({ matrices }: Parameters, values: ReadonlyMap<string, Floats>): void {
  for (const [id, floats] of values) {
    const old = matrices.get(id);
    if (old === undefined || old.values.length !== floats.length) throw new Error(`parameter ${id} does not fit`);
    matrices.set(id, { ...old, values: floats.slice() });
  }
}
