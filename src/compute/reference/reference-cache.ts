import { floatToHalf, halfToFloat } from "../../formats/tensor/half.ts";
import { PAGE_SIZE } from "../forest/forest.ts";
import type { KvCache } from "../loaded-model.ts";
import { cacheWidths, type Program } from "../program/program.ts";

/** K and V of every layer, [layer][slot][kvHead · headDim], rounded to the cache's type. */
export class ReferenceCache implements KvCache {
  readonly nPages: number;
  readonly #isHalf: boolean;
  readonly #keys: Layer[];
  readonly #values: Layer[];

  constructor(program: Program, nPages: number) {
    this.nPages = nPages;
    this.#isHalf = program.cacheType === "f16";
    const layers = () =>
      cacheWidths(program).map((width) => ({ width, floats: new Float32Array(nPages * PAGE_SIZE * width) }));
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
    return view(this.#keys, layer, slot);
  }

  value(layer: number, slot: number): Float32Array {
    return view(this.#values, layer, slot);
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

interface Layer {
  /** Floats of a position's K, or V. */
  readonly width: number;
  readonly floats: Float32Array;
}

function view(layers: readonly Layer[], layer: number, slot: number): Float32Array {
  const memory = layers[layer];
  if (memory === undefined) throw new Error("the KV cache was disposed");
  return memory.floats.subarray(slot * memory.width, (slot + 1) * memory.width);
}
