import { type KvCache, type LoadedModel, PAGE_SIZE } from "../compute/backend.ts";

/** Where a block may follow: another block, or a text's beginning. */
export interface BlockParent {
  /** By the following page's tokens, see `keyOf`. */
  readonly children: Map<string, Block>;
}

/** A full page of verified tokens behind its parent's. Nobody writes to it any more, so whoever has the same text may read it. */
export interface Block extends BlockParent {
  readonly page: number;
  readonly parent: BlockParent;
  readonly key: string;
  /** Sequences that hold it. Whoever holds a block holds its parents. */
  nHolders: number;
}

/**
 * The pages of a model's KV cache: free ones, those of running sequences, and the prefix cache. Full pages are blocks of a
 * tree in which a block's place is its whole text, so that what is found there is exactly the text that was looked for;
 * there are no hashes that could collide. Blocks that nobody holds stay until their pages are needed, the ones that
 * rested longest first, and children before their parents.
 */
export class PagePool {
  readonly cache: KvCache;
  readonly #free: number[];
  /**
   * Blocks that nobody holds, oldest first. Sequences let go of their blocks from the last to the first, and whoever holds
   * a block holds its parents: so a block always stands behind its children, and the first one has none.
   */
  readonly #resting = new Set<Block>();
  readonly #roots = new Map<string, BlockParent>();

  constructor(model: LoadedModel, nPages: number) {
    this.cache = model.createCache(nPages);
    // The last one is taken first: low pages are used again before high ones become memory.
    this.#free = Array.from({ length: nPages }, (_, i) => nPages - 1 - i);
  }

  /** Pages that nobody holds. */
  get nAvailable(): number {
    return this.#free.length + this.#resting.size;
  }

  /** Pages in the prefix cache that nobody holds. */
  get nResting(): number {
    return this.#resting.size;
  }

  /** Where texts begin. `adapter` names what changes K and V of token rows: texts under different ones share nothing. */
  root(adapter: string): BlockParent {
    let root = this.#roots.get(adapter);
    if (root === undefined) this.#roots.set(adapter, (root = { children: new Map() }));
    return root;
  }

  /** A page to write to; undefined where all are held. */
  take(): number | undefined {
    const page = this.#free.pop();
    if (page !== undefined) return page;
    const [oldest] = this.#resting;
    if (oldest === undefined) return undefined;
    this.#resting.delete(oldest);
    oldest.parent.children.delete(oldest.key);
    return oldest.page;
  }

  /** A page that is no block. */
  giveBack(page: number): void {
    this.#free.push(page);
  }

  /** Makes a full page a block that the caller holds. There must be none of its text yet. */
  publish(parent: BlockParent, key: string, page: number): Block {
    const block: Block = { page, parent, key, children: new Map(), nHolders: 1 };
    parent.children.set(key, block);
    return block;
  }

  hold(block: Block): void {
    if (block.nHolders++ === 0) this.#resting.delete(block);
  }

  letGo(block: Block): void {
    if (--block.nHolders === 0) this.#resting.add(block);
  }

  dispose(): void {
    this.cache.dispose();
  }
}

/** The tokens of a page as a string: two UTF-16 units each, exact. */
export function keyOf(tokens: readonly number[], start: number): string {
  const units: number[] = [];
  for (let i = start; i < start + PAGE_SIZE; i++) {
    const token = tokens[i] as number;
    units.push(token & 0xffff, token >>> 16);
  }
  return String.fromCharCode(...units);
}

export function pagesFor(nSlots: number): number {
  return Math.ceil(nSlots / PAGE_SIZE);
}
