import { toFloat32 } from "../../formats/tensor/dequantise.ts";
import { type Forest, PAGE_SIZE } from "../forest/forest.ts";
import type { Executor, KvCache, RowResults } from "../loaded-model.ts";
import type { Program, Weight } from "../program/program.ts";
import { type ForestLayout, layOutForest } from "../forest/layout.ts";
import { add, attend, type Floats, linear, type Matrix, rmsnorm, rotate, silu, swiglu } from "./operations.ts";
import { ReferenceCache } from "./reference-cache.ts";

/** A program with its weights as float32. */
export class ReferenceExecutor implements Executor {
  readonly program: Program;
  readonly weightBytes: number;
  readonly #weights = new Map<string, Matrix>();
  #isRunning = false;

  constructor(program: Program) {
    this.program = program;
    for (const [id, weight] of Object.entries(program.weights)) this.#weights.set(id, matrixOf(id, weight));
    this.weightBytes = [...this.#weights.values()].reduce((sum, { values }) => sum + values.byteLength, 0);
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
    this.#weights.clear();
  }

  async forward(forest: Forest, cache: KvCache): Promise<RowResults> {
    const layout = layOutForest(forest, this.program, cache.nPages);
    if (this.#isRunning) throw new Error("a forward of this model is running; wait for it");
    this.#isRunning = true;
    try {
      // Other work of the process goes on between forwards, as with a backend that computes elsewhere.
      await new Promise((resolve) => setImmediate(resolve));
      return this.#run(forest, layout, referenceCache(cache));
    } finally {
      this.#isRunning = false;
    }
  }

  #weight(id: string): Matrix {
    const weight = this.#weights.get(id);
    if (weight === undefined) throw new Error(`weight ${id} is not there`);
    return weight;
  }

  #run(forest: Forest, layout: ForestLayout, cache: ReferenceCache): RowResults {
    const { program } = this;
    const { mask } = program;
    const layoutRow = new Map<number, number>();
    for (let row = 0; row < layout.nRows; row++) layoutRow.set(layout.forestRow(row), row);
    const own = (row: number) => layoutRow.get(row) as number;
    const nRows = forest.tokens.length;
    const all = [...Array(nRows).keys()];
    const tokenRows = all.filter((row) => (forest.tokens[row] as number) >= 0);
    // Before the entry layer MASK rows do not take part.
    let rows = mask !== undefined && mask.entryLayer > 0 ? tokenRows : all;
    const slots = (row: number) => layout.visible(own(row));
    const buffers = new Map<string, Floats[]>();
    const buffer = (name: string): Floats[] => {
      let rowsOf = buffers.get(name);
      if (rowsOf === undefined) {
        const width = program.buffers[name] as number;
        rowsOf = all.map(() => new Float32Array(width));
        buffers.set(name, rowsOf);
      }
      return rowsOf;
    };
    const maskInput = (row: number) => {
      const { embedding, nDepths } = mask as NonNullable<typeof mask>;
      const depth = Math.min(layout.of(own(row), "depth"), nDepths) - 1;
      return embedding.subarray(depth * program.hiddenSize, (depth + 1) * program.hiddenSize);
    };
    let hidden: Floats[] = [];
    const logits = new Map<number, Float32Array>();
    const output = { weight: "" };

    for (const op of program.operations) {
      switch (op.kind) {
        case "embed":
          for (const row of rows) {
            const token = forest.tokens[row] as number;
            buffer(op.out)[row]?.set(token < 0 ? maskInput(row) : rowOf(this.#weight(op.weight), token));
          }
          break;
        case "enter": {
          rows = all;
          const x = buffer(op.x);
          for (const row of all) {
            if ((forest.tokens[row] as number) >= 0) continue;
            const anchor = x[layout.forestRow(layout.of(own(row), "anchor"))] as Floats;
            const input = maskInput(row);
            x[row] = anchor.map((value, i) => value * (mask?.entryScale ?? 1) + (input[i] as number));
          }
          break;
        }
        case "rmsnorm":
          for (const row of rows) {
            rmsnorm(at(buffer(op.x), row), this.#weight(op.weight).values, op.epsilon, at(buffer(op.out), row));
          }
          break;
        case "linear":
          for (const part of op.parts) {
            const weight = this.#weight(part.weight);
            const bias = part.bias === undefined ? undefined : this.#weight(part.bias).values;
            for (const row of rows) {
              const lora = forest.gate[row] === 1 ? part.lora : undefined;
              linear(weight, at(buffer(op.x), row), bias, lora, at(buffer(part.out), row));
            }
          }
          break;
        case "rope":
          for (const row of rows) {
            const position = forest.positions[row] as number;
            rotate(at(buffer(op.q), row), position, program);
            rotate(at(buffer(op.k), row), position, program);
          }
          break;
        case "attention":
          for (const row of rows) {
            const slot = slots(row).at(-1) as number;
            cache.store(op.layer, slot, at(buffer(op.k), row), at(buffer(op.v), row));
          }
          for (const row of rows) {
            attend(at(buffer(op.q), row), slots(row), cache, op.layer, program, at(buffer(op.out), row));
          }
          break;
        case "swiglu":
          for (const row of rows) swiglu(at(buffer(op.gate), row), at(buffer(op.up), row), at(buffer(op.out), row));
          break;
        case "add":
          for (const row of rows) add(at(buffer(op.x), row), at(buffer(op.y), row));
          break;
        case "gather":
          rows = all.filter((row) => forest.needsOutput[row] === 1);
          for (const row of rows) at(buffer(op.out), row).set(at(buffer(op.x), row));
          break;
        case "logits": {
          hidden = buffer(op.x);
          output.weight = op.weight;
          for (const row of rows) logits.set(row, this.#logits(op.weight, at(hidden, row), forest.tokens[row] === -1));
          break;
        }
      }
    }
    return this.#result(forest, hidden, logits, output.weight);
  }

  /** Over the vocabulary; of what only proposes over the draft vocabulary, where there is one. */
  #logits(id: string, hidden: Floats, isMask: boolean): Float32Array {
    const weight = this.#weight(id);
    const draft = isMask ? this.program.draftVocabulary : undefined;
    const n = draft?.length ?? weight.rows;
    return Float32Array.from({ length: n }, (_, i) => dot(rowOf(weight, draft?.[i] ?? i), hidden));
  }

  #result(forest: Forest, hidden: Floats[], logits: Map<number, Float32Array>, outputId: string): RowResults {
    const logitsOf = (row: number): Float32Array => {
      const values = logits.get(row);
      if (values === undefined) throw new Error(`row ${row} has no output`);
      return values;
    };
    const afterHead = (row: number, previous: number): Float32Array => {
      const head = this.program.mask?.samplerHead;
      if (head === undefined) return logitsOf(row);
      return this.#logits(outputId, this.#afterHead(at(hidden, row), previous, head), true);
    };
    const extra = (row: number, index: number): Float32Array => {
      const head = this.program.extraHeads?.[index];
      if (head === undefined || forest.tokens[row] === -1) throw new Error(`row ${row} has no extra head ${index}`);
      const h = at(hidden, row);
      const n = h.length;
      const inner = (i: number) => dot(head.weight.subarray(i * n, (i + 1) * n), h) + (head.bias[i] as number);
      return this.#logits(
        outputId,
        Float32Array.from(h, (value, i) => value + silu(inner(i))),
        true,
      );
    };
    return {
      hidden: (row) => at(hidden, row).slice(),
      logits: (row) => logitsOf(row).slice(),
      draftLogits: (source) => {
        if (source.kind === "head") return extra(source.row, source.head);
        return source.kind === "mask" ? afterHead(source.row, source.previous).slice() : logitsOf(source.row).slice();
      },
    };
  }

  /** h + w2 · silu(w1 · [h; e]), e the normalised embedding of the previous token. */
  #afterHead(hidden: Floats, previous: number, head: { readonly w1: Float32Array; readonly w2: Float32Array }): Floats {
    const n = hidden.length;
    const embedding = this.program.operations.find((op) => op.kind === "embed");
    const epsilon = this.program.operations.findLast((op) => op.kind === "rmsnorm")?.epsilon ?? 0;
    const joined = new Float32Array(2 * n);
    joined.set(hidden);
    const e = new Float32Array(n);
    rmsnorm(rowOf(this.#weight(embedding?.weight ?? ""), previous), undefined, epsilon, e);
    joined.set(e, n);
    const inner = Float32Array.from({ length: n }, (_, i) =>
      silu(dot(head.w1.subarray(i * 2 * n, (i + 1) * 2 * n), joined)),
    );
    return Float32Array.from(hidden, (h, i) => h + dot(head.w2.subarray(i * n, (i + 1) * n), inner));
  }
}

function dot(a: Floats, b: Floats): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] as number) * (b[i] as number);
  return sum;
}

function at(rows: readonly Floats[], row: number): Floats {
  const found = rows[row];
  if (found === undefined) throw new Error(`row ${row} is not there`);
  return found;
}

function rowOf({ values, cols }: Matrix, row: number): Float32Array {
  return values.subarray(row * cols, (row + 1) * cols);
}

function matrixOf(id: string, { rows, cols, type, bytes, rowOrder }: Weight): Matrix {
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
