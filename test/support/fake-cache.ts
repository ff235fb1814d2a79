import { type Forest, PAGE_SIZE } from "../../src/compute/forest/forest.ts";
import type { KvCache } from "../../src/compute/loaded-model.ts";
import type { Program } from "../../src/compute/program/program.ts";
import { validateForest } from "../../src/compute/forest/validate-forest.ts";

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

  /** Writes the rows' slots and returns the hash of each row's context. */
  write(forest: Forest, seed: number): number[] {
    const used = forest.sequences.map(({ length }) => length);
    const slots = Array.from(forest.tokens, (token, row) => {
      const own = forest.sequence[row] as number;
      const slot = slotOf(forest.sequences[own]?.pages ?? [], used[own] as number);
      used[own] = (used[own] as number) + 1;
      this.#tokens[slot] = token;
      this.#positions[slot] = forest.positions[row] as number;
      return slot;
    });
    const roots = forest.sequences.map(({ length, pages }) => {
      let hash = seed;
      for (let i = 0; i < length; i++) hash = this.#see(hash, slotOf(pages, i));
      return hash;
    });
    const hashes: number[] = [];
    for (const [row, slot] of slots.entries()) {
      const parent = forest.parents[row] as number;
      const before = parent >= 0 ? hashes[parent] : roots[forest.sequence[row] as number];
      hashes.push(this.#see(before as number, slot));
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

export function fakeCacheOf(cache: KvCache, forest?: Forest, program?: Program): FakeCache {
  if (!(cache instanceof FakeCache)) throw new TypeError("another model's cache");
  if (cache.isDisposed) throw new Error("disposed");
  if (forest !== undefined && program !== undefined) validateForest(forest, program, cache.nPages);
  return cache;
}
