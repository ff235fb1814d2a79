import { PAGE_SIZE } from "../../compute/forest/forest.ts";
import type { KvCache } from "../../compute/loaded-model.ts";
import type { SequenceKv } from "../../decoding/round/decoder.ts";
import { type Block, type BlockParent, keyOf, type PagePlace, type PagePool, pagesFor } from "./page-pool.ts";

/**
 * One sequence's part of the KV cache: full pages, which are blocks of the prefix cache and may be others' too, then pages
 * of its own. It writes behind its verified tokens, that is, to its own pages only.
 */
export class KvSequence implements SequenceKv {
  readonly #pool: PagePool;
  /** Where its text begins. */
  readonly root: BlockParent;
  readonly #blocks: Block[] = [];
  /** Verified tokens behind the blocks, fewer than a page. */
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
   * Goes on with what is cached of a text whose first `length` tokens this is; all but its last token at most, whose row
   * has to run for its logits. Returns the number of tokens found.
   */
  extend(tokens: readonly number[]): number {
    const before = this.length;
    for (let next = this.nextPage(tokens); next !== undefined; next = this.nextPage(tokens)) {
      const block = next.parent.children.get(next.key);
      if (block === undefined) break;
      this.#pool.hold(block);
      this.#append(block);
    }
    if (this.#tail.length === 0) this.#takeTail(tokens);
    return this.length - before;
  }

  /** The page that `extend` looks for next. */
  nextPage(tokens: readonly number[]): PagePlace | undefined {
    const { length } = this;
    if (this.#tail.length > 0 || length + PAGE_SIZE >= tokens.length) return undefined;
    return { parent: this.#last, key: keyOf(tokens, length) };
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

  /** Lets go of all pages; what is verified rests in the cache. */
  release(): void {
    let nKept = this.#blocks.length;
    if (this.#tail.length > 0) {
      this.#pool.restTail({ page: this.#pages[nKept++] as number, parent: this.#last, tokens: [...this.#tail] });
    }
    for (let i = nKept; i < this.#nPages; i++) this.#pool.giveBack(this.#pages[i] as number);
    // Tail and children before parents, see PagePool.
    for (let block = this.#blocks.pop(); block !== undefined; block = this.#blocks.pop()) this.#pool.letGo(block);
    this.#tail.length = 0;
    this.#nPages = 0;
  }

  get #last(): BlockParent {
    return this.#blocks.at(-1) ?? this.root;
  }

  /** The first page of its own is full: it becomes a block, unless there is one of the same text. */
  #publish(): void {
    const place = { parent: this.#last, key: keyOf(this.#tail, 0) };
    const known = place.parent.children.get(place.key);
    this.#tail.length = 0;
    if (known !== undefined) {
      this.#pool.hold(known);
      this.#append(known);
    } else {
      const page = this.#pages[this.#blocks.length] as number;
      this.#blocks.push(this.#pool.publish(place, page));
    }
  }

  /** A block that it holds comes next. */
  #append(block: Block): void {
    this.#place(this.#blocks.push(block) - 1, block.page);
  }

  #takeTail(tokens: readonly number[]): void {
    const found = this.#pool.takeTail(this.#last, tokens, this.length);
    if (found === undefined) return;
    this.#tail.push(...found.tail.tokens.slice(0, found.nShared));
    this.#place(this.#blocks.length, found.tail.page);
  }

  /** Puts a page in its place; one of its own that was there is given back. */
  #place(at: number, page: number): void {
    if (at < this.#nPages) this.#pool.giveBack(this.#pages[at] as number);
    else this.#makeRoom(++this.#nPages);
    this.#pages[at] = page;
  }

  #makeRoom(nPages: number): void {
    if (nPages <= this.#pages.length) return;
    const larger = new Int32Array(2 * nPages);
    larger.set(this.#pages);
    this.#pages = larger;
  }
}
