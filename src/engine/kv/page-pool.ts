import { PAGE_SIZE } from "../../compute/forest/forest.ts";
import type { KvCache, LoadedModel } from "../../compute/loaded-model.ts";

/** Most cached partial pages of one parent; the newest are kept. Few, since a lookup compares all of them. */
const MAX_PARTIAL_PAGES = 4;

/** A node of the prefix tree: a block, or the root. */
export interface BlockParent {
  /** By the tokens of the child's page, see `keyOf`. */
  readonly children: Map<string, Block>;
  readonly partialPages: Set<PartialPage>;
}

/** Identifies a block: its parent and the tokens of its page. */
export interface BlockKey {
  readonly parent: BlockParent;
  readonly key: string;
}

/** A full page of verified tokens: read-only, and shared by all sequences with the same prefix. */
export interface Block extends BlockParent, BlockKey {
  readonly page: number;
  /** Sequences that reference it. A sequence that references a block also references its ancestors. */
  refCount: number;
}

/** A cached page that is not full. A sequence that continues it removes it from the cache and writes to it. */
export interface PartialPage {
  readonly page: number;
  readonly parent: BlockParent;
  readonly tokens: readonly number[];
}

/**
 * Allocates the pages of a model's KV cache. A page is free, owned by a running sequence, or part of the prefix cache.
 * Full pages are blocks of a tree whose paths are whole prefixes: a lookup compares tokens, not hashes that could
 * collide. Unreferenced blocks stay cached until their pages are needed. The least recently used one is evicted first,
 * and children before their parents.
 */
export class PagePool {
  readonly cache: KvCache;
  readonly #free: number[];
  /**
   * Unreferenced blocks and partial pages, in order of eviction. A sequence releases its partial page first, then its
   * blocks from the last to the first, and the ancestors of a referenced block are referenced, too. So children precede
   * their parents, and the first entry is always a leaf.
   */
  readonly #evictable = new Set<Block | PartialPage>();
  readonly #roots = new Map<string, BlockParent>();

  constructor(model: LoadedModel, nPages: number) {
    this.cache = model.createCache(nPages);
    // A stack with page 0 on top: low pages are reused before high ones become resident.
    this.#free = Array.from({ length: nPages }, (_, i) => nPages - 1 - i);
  }

  /** Pages that can be allocated: free and evictable ones. */
  get nAvailable(): number {
    return this.#free.length + this.#evictable.size;
  }

  /** All free and cached pages, for tests; the others are owned by running sequences. */
  contents(): {
    readonly free: readonly number[];
    readonly blocks: readonly Block[];
    readonly partialPages: readonly PartialPage[];
  } {
    const blocks: Block[] = [];
    const partialPages: PartialPage[] = [];
    const parents: BlockParent[] = [...this.#roots.values()];
    for (let parent = parents.pop(); parent !== undefined; parent = parents.pop()) {
      partialPages.push(...parent.partialPages);
      blocks.push(...parent.children.values());
      parents.push(...parent.children.values());
    }
    return { free: [...this.#free], blocks, partialPages };
  }

  /**
   * Root of the prefix tree of an adapter that changes K and V of token rows. Sequences with different adapters share
   * nothing.
   */
  root(adapter: string): BlockParent {
    const known = this.#roots.get(adapter);
    if (known !== undefined) return known;
    const root = { children: new Map(), partialPages: new Set<PartialPage>() };
    this.#roots.set(adapter, root);
    return root;
  }

  /** Longest cached prefix of the tokens: its blocks, and its tokens, those in a partial page included. */
  find(root: BlockParent, tokens: readonly number[]) {
    let nBlocks = 0;
    let parent = root;
    for (const block of cachedBlocks(root, tokens)) {
      parent = block;
      nBlocks++;
    }
    const nTokens = nBlocks * PAGE_SIZE + (this.#bestPartial(parent, tokens, nBlocks * PAGE_SIZE)?.nShared ?? 0);
    return { nBlocks, nTokens };
  }

  /**
   * Removes the cached partial page that shares most tokens with `tokens` from `start` on. Only its first `nShared`
   * slots are valid.
   */
  takePartial(parent: BlockParent, tokens: readonly number[], start: number) {
    const best = this.#bestPartial(parent, tokens, start);
    if (best !== undefined) this.#evict(best.partial);
    return best;
  }

  /** Caches the last, partial page of a released sequence. */
  cachePartial(partial: PartialPage): void {
    const { partialPages } = partial.parent;
    const [oldest] = partialPages;
    if (oldest !== undefined && partialPages.size === MAX_PARTIAL_PAGES) {
      this.#evict(oldest);
      this.free(oldest.page);
    }
    partialPages.add(partial);
    this.#evictable.add(partial);
  }

  /** A page to write to, evicting one if none is free; undefined if all are in use. */
  allocate(): number | undefined {
    const page = this.#free.pop();
    if (page !== undefined) return page;
    const [oldest] = this.#evictable;
    if (oldest === undefined) return undefined;
    this.#evict(oldest);
    return oldest.page;
  }

  /** Frees a page that is not a block. */
  free(page: number): void {
    this.#free.push(page);
  }

  /** Adds a full page to the prefix cache, referenced by the caller. There must be no block with this key yet. */
  publish({ parent, key }: BlockKey, page: number): Block {
    const block: Block = { page, parent, key, children: new Map(), partialPages: new Set(), refCount: 1 };
    parent.children.set(key, block);
    return block;
  }

  retain(block: Block): void {
    if (block.refCount++ === 0) this.#evictable.delete(block);
  }

  release(block: Block): void {
    if (--block.refCount === 0) this.#evictable.add(block);
  }

  dispose(): void {
    this.cache.dispose();
  }

  /** Removes an evictable entry from the prefix cache. */
  #evict(entry: Block | PartialPage): void {
    this.#evictable.delete(entry);
    if ("key" in entry) entry.parent.children.delete(entry.key);
    else entry.parent.partialPages.delete(entry);
  }

  #bestPartial({ partialPages }: BlockParent, tokens: readonly number[], start: number) {
    let best: { readonly partial: PartialPage; readonly nShared: number } | undefined;
    for (const partial of partialPages) {
      // The last token is always computed: its logits are needed.
      const nComparable = Math.min(partial.tokens.length, tokens.length - 1 - start);
      let nShared = 0;
      while (nShared < nComparable && partial.tokens[nShared] === tokens[start + nShared]) nShared++;
      if (nShared > (best?.nShared ?? 0)) best = { partial, nShared };
    }
    return best;
  }
}

/** Cached blocks of a prefix of the tokens, from the first. The last token is in none: its logits are needed. */
export function* cachedBlocks(root: BlockParent, tokens: readonly number[]): Generator<Block> {
  let parent = root;
  for (let start = 0; start + PAGE_SIZE < tokens.length; start += PAGE_SIZE) {
    const block = parent.children.get(keyOf(tokens, start));
    if (block === undefined) return;
    yield block;
    parent = block;
  }
}

/** The tokens of a page as a string of two UTF-16 units each: different tokens have different keys. */
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
