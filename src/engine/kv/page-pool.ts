import { PAGE_SIZE } from "../../compute/forest/forest.ts";
import type { KvCache, LoadedModel } from "../../compute/loaded-model.ts";

/**
 * Tails that rest behind one block: of many texts with the same beginning a few of the newest, so that a look at all of
 * them costs little.
 */
const MAX_TAILS = 4;

/** What a block may follow: another block, or nothing, at the beginning of a text. */
export interface BlockParent {
  /** By the following page's tokens, see `keyOf`. */
  readonly children: Map<string, Block>;
  readonly tails: Set<Tail>;
}

/** Where a page's text stands. */
export interface PagePlace {
  readonly parent: BlockParent;
  readonly key: string;
}

/** A full page of verified tokens behind its parent's. Nobody writes to it any more, so whoever has the same text may read it. */
export interface Block extends BlockParent, PagePlace {
  readonly page: number;
  /** Sequences that hold it. Whoever holds a block holds its parents. */
  nHolders: number;
}

/** The end of a text that rests: a page that is not full. Whoever goes on with it takes it away and may write to it. */
export interface Tail {
  readonly page: number;
  readonly parent: BlockParent;
  readonly tokens: readonly number[];
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
   * What nobody holds, oldest first. Sequences let go of their tail and of their blocks from the last to the first, and
   * whoever holds a block holds its parents: so a block always stands behind its children, and the first one has none.
   */
  readonly #resting = new Set<Block | Tail>();
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

  /** Every page that is free or cached, for tests: what is missing is a running sequence's own. */
  contents(): { readonly free: readonly number[]; readonly blocks: readonly Block[]; readonly tails: readonly Tail[] } {
    const blocks: Block[] = [];
    const tails: Tail[] = [];
    const parents: BlockParent[] = [...this.#roots.values()];
    for (let parent = parents.pop(); parent !== undefined; parent = parents.pop()) {
      tails.push(...parent.tails);
      blocks.push(...parent.children.values());
      parents.push(...parent.children.values());
    }
    return { free: [...this.#free], blocks, tails };
  }

  /** Where texts begin. `adapter` names what changes K and V of token rows: texts under different ones share nothing. */
  root(adapter: string): BlockParent {
    const known = this.#roots.get(adapter);
    if (known !== undefined) return known;
    const root = { children: new Map(), tails: new Set<Tail>() };
    this.#roots.set(adapter, root);
    return root;
  }

  /** How far a text is cached: its blocks, and the tokens of blocks and tail. */
  find(root: BlockParent, tokens: readonly number[]) {
    let nBlocks = 0;
    let parent = root;
    for (const block of cachedBlocks(root, tokens)) {
      parent = block;
      nBlocks++;
    }
    const nTokens = nBlocks * PAGE_SIZE + (this.#bestTail(parent, tokens, nBlocks * PAGE_SIZE)?.nShared ?? 0);
    return { nBlocks, nTokens };
  }

  /** Takes away the resting tail that shares most with the text behind `start`; its K and V behind `nShared` mean nothing. */
  takeTail(parent: BlockParent, tokens: readonly number[], start: number) {
    const best = this.#bestTail(parent, tokens, start);
    if (best !== undefined) this.#remove(best.tail);
    return best;
  }

  /** The end of a text rests. */
  restTail(tail: Tail): void {
    const { tails } = tail.parent;
    const [oldest] = tails;
    if (oldest !== undefined && tails.size === MAX_TAILS) {
      this.#remove(oldest);
      this.giveBack(oldest.page);
    }
    tails.add(tail);
    this.#resting.add(tail);
  }

  /** A page to write to; undefined where all are held. */
  take(): number | undefined {
    const page = this.#free.pop();
    if (page !== undefined) return page;
    const [oldest] = this.#resting;
    if (oldest === undefined) return undefined;
    this.#remove(oldest);
    return oldest.page;
  }

  /** A page that is no block. */
  giveBack(page: number): void {
    this.#free.push(page);
  }

  /** Makes a full page a block that the caller holds. There must be none of its text yet. */
  publish({ parent, key }: PagePlace, page: number): Block {
    const block: Block = { page, parent, key, children: new Map(), tails: new Set(), nHolders: 1 };
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

  /** What rests is found no more. */
  #remove(resting: Block | Tail): void {
    this.#resting.delete(resting);
    if ("key" in resting) resting.parent.children.delete(resting.key);
    else resting.parent.tails.delete(resting);
  }

  #bestTail({ tails }: BlockParent, tokens: readonly number[], start: number) {
    let best: { readonly tail: Tail; readonly nShared: number } | undefined;
    for (const tail of tails) {
      // A text's last token has to run for its logits.
      const most = Math.min(tail.tokens.length, tokens.length - 1 - start);
      let nShared = 0;
      while (nShared < most && tail.tokens[nShared] === tokens[start + nShared]) nShared++;
      if (nShared > (best?.nShared ?? 0)) best = { tail, nShared };
    }
    return best;
  }
}

/** The blocks that a text begins with, from the first, as far as they are cached. The text's last token is in none. */
export function* cachedBlocks(root: BlockParent, tokens: readonly number[]): Generator<Block> {
  let parent = root;
  for (let start = 0; start + PAGE_SIZE < tokens.length; start += PAGE_SIZE) {
    const block = parent.children.get(keyOf(tokens, start));
    if (block === undefined) return;
    yield block;
    parent = block;
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
