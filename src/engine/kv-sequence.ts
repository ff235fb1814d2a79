import { type KvCache, PAGE_SIZE } from "../compute/backend.ts";
import type { SequenceKv } from "../decoding/decoder.ts";
import { type Block, type BlockParent, keyOf, type PagePool, pagesFor } from "./page-pool.ts";

/**
 * One sequence's part of the KV cache: full pages, which are blocks of the prefix cache and may be others' too, then pages
 * of its own. It writes behind its verified tokens, that is, to its own pages only.
 */
export class KvSequence implements SequenceKv {
  readonly #pool: PagePool;
  readonly #root: BlockParent;
  readonly #blocks: Block[] = [];
  /** Verified tokens behind the blocks, fewer than a page. */
  readonly #tail: number[] = [];
  #pages = new Int32Array(16);
  #nPages = 0;

  constructor(pool: PagePool, adapter = "") {
    this.#pool = pool;
    this.#root = pool.root(adapter);
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
   * Goes on with what is cached of a text whose first `length` tokens this is; all but its last token at most, whose row
   * has to run for its logits. Returns the number of tokens found.
   */
  extend(tokens: readonly number[]): number {
    if (this.#tail.length > 0) return 0;
    const before = this.length;
    for (let block = this.#next(tokens); block !== undefined; block = this.#next(tokens)) {
      this.#pool.hold(block);
      this.#append(block);
    }
    return this.length - before;
  }

  /** Pages that a round or chunk of `nRows` rows needs beside those that it has. */
  missingPages(nRows: number): number {
    return Math.max(0, pagesFor(this.length + nRows) - this.#nPages);
  }

  /** Takes pages for `nRows` rows behind the verified tokens. False: too few are there; it keeps what it got. */
  reserve(nRows: number): boolean {
    const needed = pagesFor(this.length + nRows);
    this.#makeRoom(needed);
    while (this.#nPages < needed) {
      const page = this.#pool.take();
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

  /** Lets go of all pages; the blocks rest in the cache. */
  release(): void {
    for (let i = this.#blocks.length; i < this.#nPages; i++) this.#pool.giveBack(this.#pages[i] as number);
    // Children before parents, see PagePool.
    for (let block = this.#blocks.pop(); block !== undefined; block = this.#blocks.pop()) this.#pool.letGo(block);
    this.#tail.length = 0;
    this.#nPages = 0;
  }

  get #last(): BlockParent {
    return this.#blocks.at(-1) ?? this.#root;
  }

  #next(tokens: readonly number[]): Block | undefined {
    const { length } = this;
    return length + PAGE_SIZE < tokens.length ? this.#last.children.get(keyOf(tokens, length)) : undefined;
  }

  /** The first page of its own is full: it becomes a block, unless there is one of the same text. */
  #publish(): void {
    const key = keyOf(this.#tail, 0);
    const known = this.#last.children.get(key);
    this.#tail.length = 0;
    if (known !== undefined) {
      this.#pool.hold(known);
      this.#append(known);
    } else {
      const page = this.#pages[this.#blocks.length] as number;
      this.#blocks.push(this.#pool.publish(this.#last, key, page));
    }
  }

  /** A block that it holds comes next; a page of its own in that place is given back. */
  #append(block: Block): void {
    const at = this.#blocks.push(block) - 1;
    if (at < this.#nPages) this.#pool.giveBack(this.#pages[at] as number);
    else this.#makeRoom(++this.#nPages);
    this.#pages[at] = block.page;
  }

  #makeRoom(nPages: number): void {
    if (nPages <= this.#pages.length) return;
    const larger = new Int32Array(2 * nPages);
    larger.set(this.#pages);
    this.#pages = larger;
  }
}

/** Tokens of a text that are cached, of whole pages. */
export function cachedTokens(pool: PagePool, tokens: readonly number[], adapter = ""): number {
  let parent = pool.root(adapter);
  let length = 0;
  while (length + PAGE_SIZE <= tokens.length) {
    const block = parent.children.get(keyOf(tokens, length));
    if (block === undefined) break;
    parent = block;
    length += PAGE_SIZE;
  }
  return length;
}
