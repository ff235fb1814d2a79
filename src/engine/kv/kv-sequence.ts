import { PAGE_SIZE } from "../../compute/forest/forest.ts";
import type { KvCache } from "../../compute/loaded-model.ts";
import type { SequenceKv } from "../../decoding/round/decoder.ts";
import { type Block, type BlockParent, keyOf, type BlockKey, type PagePool, pagesFor } from "./page-pool.ts";

/**
 * The KV pages of one sequence: blocks of the prefix cache, which other sequences may share, then pages of its own.
 * Rows are written after the verified tokens, so to its own pages only.
 */
export class KvSequence implements SequenceKv {
  readonly #pool: PagePool;
  /** Root of the prefix tree it uses. */
  readonly root: BlockParent;
  readonly #blocks: Block[] = [];
  /** Verified tokens after the last block, fewer than a page. */
  readonly #tail: number[] = [];
  #pages = new Int32Array(16);
  #nPages = 0;

  constructor(pool: PagePool, adapter = "") {
    this.#pool = pool;
    this.root = pool.root(adapter);
  }

  get cache(): KvCache {
    return this.#pool.cache;
  }

  get length(): number {
    return this.#blocks.length * PAGE_SIZE + this.#tail.length;
  }

  get pages(): Int32Array {
    return this.#pages.subarray(0, this.#nPages);
  }

  get nPages(): number {
    return this.#nPages;
  }

  /**
   * Extends the sequence by cached pages of `tokens`, whose first `length` tokens it has. The last token is never
   * included: its logits are needed. Returns the number of tokens found.
   */
  extend(tokens: readonly number[]): number {
    const before = this.length;
    for (let next = this.nextKey(tokens); next !== undefined; next = this.nextKey(tokens)) {
      const block = next.parent.children.get(next.key);
      if (block === undefined) break;
      this.#pool.retain(block);
      this.#append(block);
    }
    if (this.#tail.length === 0) this.#appendPartial(tokens);
    return this.length - before;
  }

  /** Key of the block that `extend` looks up next; undefined: no full page follows. */
  nextKey(tokens: readonly number[]): BlockKey | undefined {
    const { length } = this;
    if (this.#tail.length > 0 || length + PAGE_SIZE >= tokens.length) return undefined;
    return { parent: this.#last, key: keyOf(tokens, length) };
  }

  /**
   * Allocates pages for `nRows` rows after the verified tokens. False: there are too few pages; it keeps those it got.
   */
  reserve(nRows: number): boolean {
    const needed = pagesFor(this.length + nRows);
    this.#grow(needed);
    while (this.#nPages < needed) {
      const page = this.#pool.allocate();
      if (page === undefined) return false;
      this.#pages[this.#nPages++] = page;
    }
    return true;
  }

  commit(tokens: readonly number[]): void {
    for (const token of tokens) {
      if (this.#tail.push(token) === PAGE_SIZE) this.#publish();
    }
  }

  /** Releases all pages. Those of verified tokens stay in the prefix cache. */
  release(): void {
    let nUsed = this.#blocks.length;
    if (this.#tail.length > 0) {
      this.#pool.cachePartial({ page: this.#pages[nUsed++] as number, parent: this.#last, tokens: [...this.#tail] });
    }
    for (let i = nUsed; i < this.#nPages; i++) this.#pool.free(this.#pages[i] as number);
    // The partial page before the blocks, and children before parents, see PagePool.
    for (let block = this.#blocks.pop(); block !== undefined; block = this.#blocks.pop()) this.#pool.release(block);
    this.#tail.length = 0;
    this.#nPages = 0;
  }

  get #last(): BlockParent {
    return this.#blocks.at(-1) ?? this.root;
  }

  /**
   * Turns the first own page, now full, into a block, or replaces it by the block with the same tokens if there is one.
   */
  #publish(): void {
    const blockKey = { parent: this.#last, key: keyOf(this.#tail, 0) };
    const known = blockKey.parent.children.get(blockKey.key);
    this.#tail.length = 0;
    if (known !== undefined) {
      this.#pool.retain(known);
      this.#append(known);
    } else {
      const page = this.#pages[this.#blocks.length] as number;
      this.#blocks.push(this.#pool.publish(blockKey, page));
    }
  }

  /** Appends a referenced block. */
  #append(block: Block): void {
    this.#place(this.#blocks.push(block) - 1, block.page);
  }

  #appendPartial(tokens: readonly number[]): void {
    const found = this.#pool.takePartial(this.#last, tokens, this.length);
    if (found === undefined) return;
    this.#tail.push(...found.partial.tokens.slice(0, found.nShared));
    this.#place(this.#blocks.length, found.partial.page);
  }

  /** Sets the page at an index, and frees an own page that was there. */
  #place(at: number, page: number): void {
    if (at < this.#nPages) this.#pool.free(this.#pages[at] as number);
    else this.#grow(++this.#nPages);
    this.#pages[at] = page;
  }

  #grow(nPages: number): void {
    if (nPages <= this.#pages.length) return;
    const larger = new Int32Array(2 * nPages);
    larger.set(this.#pages);
    this.#pages = larger;
  }
}
