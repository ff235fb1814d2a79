import { floatToHalf, halfToFloat } from "../../formats/tensor/half.ts";
import { PAGE_SIZE } from "../forest/forest.ts";
import type { KvCache } from "../loaded-model.ts";
import type { Program } from "../program/program.ts";

/** K and V of every layer, [layer][slot][kvHead·headDim], rounded to the cache's type. */
export class ReferenceCache implements KvCache {
  readonly nPages: number;
  readonly #width: number;
  readonly #isHalf: boolean;
  readonly #keys: Float32Array[];
  readonly #values: Float32Array[];

  constructor(program: Program, nPages: number) {
    this.nPages = nPages;
    this.#width = program.nKvHeads * program.headDim;
    this.#isHalf = program.cacheType === "f16";
    const layers = () =>
      Array.from({ length: program.nLayers }, () => new Float32Array(nPages * PAGE_SIZE * this.#width));
    this.#keys = layers();
    this.#values = layers();
  }

  /** Rounds and stores a row's K and V. `slot` counts positions of the whole cache. */
  store(layer: number, slot: number, k: Float32Array, v: Float32Array): void {
    const round = (x: number) => (this.#isHalf ? halfToFloat(floatToHalf(x)) : x);
    this.key(layer, slot).set(k.map(round));
    this.value(layer, slot).set(v.map(round));
  }

  key(layer: number, slot: number): Float32Array {
    return view(this.#keys, layer, slot, this.#width);
  }

  value(layer: number, slot: number): Float32Array {
    return view(this.#values, layer, slot, this.#width);
  }

  move(from: number, to: number): void {
    for (let layer = 0; layer < this.#keys.length; layer++) {
      this.key(layer, to).set(this.key(layer, from));
      this.value(layer, to).set(this.value(layer, from));
    }
  }

  dispose(): void {
    this.#keys.length = 0;
    this.#values.length = 0;
  }
}

function view(layers: readonly Float32Array[], layer: number, slot: number, width: number): Float32Array {
  const memory = layers[layer];
  if (memory === undefined) throw new Error("the KV cache was disposed");
  return memory.subarray(slot * width, (slot + 1) * width);
}
