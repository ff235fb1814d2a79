import { toFloat32 } from "../../formats/tensor/dequantise.ts";
import { type Forest, PAGE_SIZE } from "../forest/forest.ts";
import { type ForestLayout, layOutForest } from "../forest/layout.ts";
import type { Executor, KvCache, RowResults } from "../loaded-model.ts";
import type { RowSet } from "../program/operations.ts";
import { HEAD_INPUT, type HeadProgram, idsOf, type Parameter, type Program } from "../program/program.ts";
import { validateProgram } from "../program/validate-program.ts";
import { type Floats, type Matrix, type Run, runList } from "./operations.ts";
import { ReferenceCache } from "./reference-cache.ts";

/** A program with its parameters as float32. */
export class ReferenceExecutor implements Executor {
  readonly program: Program;
  readonly weightBytes: number;
  readonly #parameters = new Map<string, Matrix>();
  readonly #ids = new Map<string, Int32Array>();
  #isRunning = false;

  constructor(program: Program) {
    validateProgram(program);
    this.program = program;
    for (const [id, parameter] of Object.entries(program.parameters)) {
      if (parameter.type === "I32") this.#ids.set(id, idsOf(parameter));
      else this.#parameters.set(id, matrixOf(id, parameter));
    }
    this.weightBytes = [...this.#parameters.values()].reduce((sum, { values }) => sum + values.byteLength, 0);
  }

  createCache(nPages: number): KvCache {
    return new ReferenceCache(this.program, nPages);
  }

  moveKv(cache: KvCache, pages: Int32Array | readonly number[], from: readonly number[], to: readonly number[]): void {
    from.forEach((slot, i) => {
      referenceCache(cache).move(slotIn(pages, slot), slotIn(pages, to[i] as number));
    });
  }

  dispose(): void {
    this.#parameters.clear();
  }

  async forward(forest: Forest, cache: KvCache): Promise<RowResults> {
    const layout = layOutForest(forest, this.program, cache.nPages);
    if (this.#isRunning) throw new Error("a forward of this model is running; wait for it");
    this.#isRunning = true;
    try {
      // Other work of the process goes on between forwards, as with a backend that computes elsewhere.
      await new Promise((resolve) => setImmediate(resolve));
      const run = this.#forwardRun(layout, referenceCache(cache));
      runList(this.program.forward, run);
      return this.#results(forest, layout, run);
    } finally {
      this.#isRunning = false;
    }
  }

  /** Its rows are those of the layout: token rows first. */
  #forwardRun(layout: ForestLayout, cache: ReferenceCache): Run {
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
      ...this.#values(),
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

  /** Logits of a head, of one hidden state and the token before the predicted one. */
  #runHead(head: HeadProgram, hidden: Floats, previous: number): Floats {
    const unknown = (): never => {
      throw new Error("a head has no forest");
    };
    const run: Run = {
      ...this.#values(),
      rows: (set) => (set === "head" ? [0] : []),
      token: () => previous,
      ...{ position: unknown, depth: unknown, anchor: unknown, isGated: unknown, visible: unknown },
      get cache(): never {
        return unknown();
      },
    };
    run.write(HEAD_INPUT, 0, hidden);
    runList(head.operations, run);
    return run.read(head.logits, 0);
  }

  /** What every run has: values of its own, and the program's parameters. */
  #values(): Pick<Run, "read" | "write" | "parameter" | "ids" | "rope"> {
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
      parameter: (id) => entryOf(this.#parameters, id),
      ids: (id) => entryOf(this.#ids, id),
      rope: this.program.rope,
    };
  }

  #results(forest: Forest, layout: ForestLayout, run: Run): RowResults {
    const { results, heads } = this.program;
    const { hidden, logits, maskLogits = logits } = results;
    const isMask = (row: number) => forest.tokens[row] === -1;
    const read = (value: string, row: number): Floats => {
      const output = layout.outputOf(row);
      if (output < 0) throw new Error(`row ${row} has no output`);
      return run.read(value, layout.outputs[output] as number);
    };
    const logitsOf = (row: number) => read(isMask(row) ? maskLogits : logits, row).slice();
    return {
      hidden: (row) => read(hidden, row).slice(),
      logits: logitsOf,
      draftLogits: (source) => {
        const { row } = source;
        if (source.kind === "head") {
          const head = heads.extra[source.head];
          if (head === undefined || isMask(row)) throw new Error(`row ${row} has no extra head ${source.head}`);
          return this.#runHead(head, read(hidden, row), -1);
        }
        if (source.kind === "token" || heads.sampler === undefined) return logitsOf(row);
        return this.#runHead(heads.sampler, read(hidden, row), source.previous);
      },
    };
  }
}

function entryOf<T>(map: ReadonlyMap<string, T>, id: string): T {
  const found = map.get(id);
  if (found === undefined) throw new Error(`${id} is not there`);
  return found;
}

function matrixOf(id: string, { rows, cols, type, bytes, rowOrder }: Parameter): Matrix {
  const stored = toFloat32({ name: id, type, shape: [rows, cols], bytes });
  if (rowOrder === undefined) return { rows, cols, values: stored };
  const isVector = rows === 1;
  const width = isVector ? 1 : cols;
  const values = new Float32Array(stored.length);
  rowOrder.forEach((from, to) => {
    values.set(stored.subarray(from * width, (from + 1) * width), to * width);
  });
  return { rows, cols, values };
}

function slotIn(pages: Int32Array | readonly number[], slot: number): number {
  return (pages[Math.floor(slot / PAGE_SIZE)] as number) * PAGE_SIZE + (slot % PAGE_SIZE);
}

function referenceCache(cache: KvCache): ReferenceCache {
  if (!(cache instanceof ReferenceCache)) throw new TypeError("the KV cache is of another backend");
  return cache;
}
