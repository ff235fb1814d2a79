import { type Forest, PAGE_SIZE } from "../../src/compute/forest/forest.ts";
import { layOutForest } from "../../src/compute/forest/layout.ts";
import type { KvCache } from "../../src/compute/loaded-model.ts";
import type { Program } from "../../src/compute/program/program.ts";

const POISON = -7;

/** Like murmur3's finaliser. */
export function mix(a: number, b: number): number {
  let h = Math.imul(a ^ Math.imul(b + 0x9e3779b9, 0x85ebca6b), 0xc2b2ae35);
  h ^= h >>> 16;
  h = Math.imul(h, 0x7feb352d);
  return (h ^ (h >>> 15)) >>> 0;
}

/** Hash of a context (tokens at positions 0, 1, …) for a model with this seed. */
export function hashOf(tokens: readonly number[], seed: number): number {
  return tokens.reduce((hash, token, position) => mix(mix(hash, token), position), seed);
}

/**
 * A KV cache that stores token and position in each slot. A row's context is read back from the slots, so that a wrong
 * commit, position or parent changes its hash.
 */
export class FakeCache implements KvCache {
  readonly nPages: number;
  isDisposed = false;
  readonly #tokens: Int32Array;
  readonly #positions: Int32Array;

  constructor(nPages: number) {
    this.nPages = nPages;
    this.#tokens = new Int32Array(nPages * PAGE_SIZE).fill(POISON);
    this.#positions = new Int32Array(nPages * PAGE_SIZE).fill(POISON);
  }

  dispose(): void {
    this.isDisposed = true;
  }

  /** Writes the rows' slots and returns the hash of the context of each row of the forest. */
  write(forest: Forest, program: Program, seed: number): number[] {
    const layout = layOutForest(forest, program, this.nPages);
    const rows = [...Array(layout.nRows).keys()];
    for (const row of rows) {
      const place = layout.place(layout.of(row, "sequence"), layout.of(row, "slot"));
      this.#tokens[place] = layout.of(row, "token");
      this.#positions[place] = layout.of(row, "position");
    }
    // Of the first n slots of each sequence.
    const prefixes = forest.sequences.map(() => [seed]);
    const prefixOf = (sequence: number, n: number): number => {
      const known = prefixes[sequence] as number[];
      while (known.length <= n) known.push(this.#see(known.at(-1) as number, layout.place(sequence, known.length - 1)));
      return known[n] as number;
    };
    const hashes: number[] = [];
    for (const row of rows) {
      const sequence = layout.of(row, "sequence");
      hashes[layout.forestRow(row)] = Array.from(layout.tail(row)).reduce(
        (hash, slot) => this.#see(hash, layout.place(sequence, slot)),
        prefixOf(sequence, layout.of(row, "nBefore")),
      );
    }
    return hashes;
  }

  /** LoadedModel.moveKv */
  move(pages: readonly number[] | Int32Array, from: readonly number[], to: readonly number[]): void {
    from.forEach((source, i) => {
      const [a, b] = [slotOf(pages, source), slotOf(pages, to[i] as number)];
      this.#tokens[b] = this.#tokens[a] as number;
      this.#positions[b] = this.#positions[a] as number;
    });
  }

  #see(hash: number, slot: number): number {
    if (this.#tokens[slot] === POISON) throw new Error("a slot that was never written");
    return mix(mix(hash, this.#tokens[slot] as number), this.#positions[slot] as number);
  }
}

function slotOf(pages: readonly number[] | Int32Array, position: number): number {
  const page = pages[Math.floor(position / PAGE_SIZE)];
  if (page === undefined) throw new Error(`position ${position} is beyond the pages`);
  return page * PAGE_SIZE + (position % PAGE_SIZE);
}

export function fakeCacheOf(cache: KvCache): FakeCache {
  if (!(cache instanceof FakeCache)) throw new TypeError("another model's cache");
  if (cache.isDisposed) throw new Error("disposed");
  return cache;
}
