import { type Forest, PAGE_SIZE } from "../forest/forest.ts";
import { type ForestLayout, layOutForest } from "../forest/layout.ts";
import type { Executor, KvCache, RowResults } from "../loaded-model.ts";
import type { Program } from "../program/program.ts";
import { checkReplacements, validateProgram } from "../program/validate-program.ts";
import type { Floats, Run } from "./operation.ts";
import { runList } from "./operations.ts";
import { ReferenceCache } from "./reference-cache.ts";
import { forestRun, type Parameters, readParameters, replaceIn, runHead } from "./runs.ts";

/** A program with its parameters as float32. */
export class ReferenceExecutor implements Executor {
  readonly program: Program;
  readonly weightBytes: number;
  readonly sharedWeightBytes: number;
  readonly #parameters: Parameters;
  #isRunning = false;

  /** Shares the base's parameters of `shareWith`, if given. */
  constructor(program: Program, shareWith?: ReferenceExecutor) {
    validateProgram(program, shareWith?.program);
    this.program = program;
    this.#parameters = readParameters(program, shareWith === undefined ? undefined : shareWith.#parameters);
    const bytes = (isCounted: (id: string) => boolean) =>
      [...this.#parameters.matrices].reduce(
        (sum, [id, { values }]) => sum + (isCounted(id) ? values.byteLength : 0),
        0,
      );
    this.weightBytes = bytes(() => true);
    this.sharedWeightBytes = shareWith === undefined ? 0 : bytes((id) => program.parameters[id]?.origin === "base");
  }

  createCache(nPages: number): KvCache {
    return new ReferenceCache(this.program, nPages);
  }

  moveKv(cache: KvCache, pages: Int32Array | readonly number[], from: readonly number[], to: readonly number[]): void {
    from.forEach((slot, i) => {
      referenceCache(cache).move(slotIn(pages, slot), slotIn(pages, to[i] as number));
    });
  }

  async replaceParameters(values: ReadonlyMap<string, Float32Array>): Promise<void> {
    if (this.#isRunning) throw new Error("a forward of this model is running; wait for it");
    checkReplacements(this.program, values);
    replaceIn(this.#parameters, values);
  }

  dispose(): void {
    this.#parameters.matrices.clear();
  }

  async forward(forest: Forest, cache: KvCache): Promise<RowResults> {
    const layout = layOutForest(forest, this.program, cache.nPages);
    if (this.#isRunning) throw new Error("a forward of this model is running; wait for it");
    this.#isRunning = true;
    try {
      // Lets other work of the process run between forwards, as with a backend that computes elsewhere.
      await new Promise((resolve) => setImmediate(resolve));
      const run = forestRun(layout, this.#parameters, referenceCache(cache));
      runList(this.program.forward, run);
      return this.#results(forest, layout, run);
    } finally {
      this.#isRunning = false;
    }
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
          return runHead(head, read(hidden, row), -1, this.#parameters);
        }
        if (source.kind === "token" || heads.sampler === undefined) return logitsOf(row);
        return runHead(heads.sampler, read(hidden, row), source.previous, this.#parameters);
      },
      value: (id, row) => {
        const isOutput = this.program.values[id]?.rows.startsWith("output") ?? false;
        return (isOutput ? read(id, row) : run.read(id, layout.rowOf(row))).slice();
      },
    };
  }
}

function slotIn(pages: Int32Array | readonly number[], slot: number): number {
  return (pages[Math.floor(slot / PAGE_SIZE)] as number) * PAGE_SIZE + (slot % PAGE_SIZE);
}

function referenceCache(cache: KvCache): ReferenceCache {
  if (!(cache instanceof ReferenceCache)) throw new TypeError("the KV cache is of another backend");
  return cache;
}
