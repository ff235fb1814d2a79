import { type KvCache, type LoadedModel, PAGE_SIZE } from "../compute/backend.ts";
import type { SequenceKv } from "../decoding/decoder.ts";

/** A model's KV cache and its free pages. */
export class PagePool {
  readonly cache: KvCache;
  readonly #free: number[];
  readonly #sequences = new Set<KvSequence>();

  constructor(model: LoadedModel, nPages: number) {
    this.cache = model.createCache(nPages);
    // The last one is taken first.
    this.#free = Array.from({ length: nPages }, (_, i) => nPages - 1 - i);
  }

  get nFree(): number {
    return this.#free.length;
  }

  createSequence(): KvSequence {
    const sequence = new KvSequence(this, (freed) => {
      this.#free.push(...freed);
    });
    this.#sequences.add(sequence);
    return sequence;
  }

  remove(sequence: KvSequence): void {
    sequence.truncate(0);
    this.#sequences.delete(sequence);
  }

  /** A page for `taker`. Where none is free, the sequence that rests longest loses all of its pages and is computed again later. */
  take(taker: KvSequence): number {
    const page = this.#free.pop();
    if (page !== undefined) return page;
    const resting = [...this.#sequences].filter((other) => other !== taker && other.nPages > 0);
    const victim = resting.reduce<KvSequence | undefined>((oldest, other) => {
      return oldest === undefined || other.lastUse < oldest.lastUse ? other : oldest;
    }, undefined);
    // A pool is made for one sequence of a whole context, and one sequence grows at a time.
    if (victim === undefined) throw new RangeError("the pool has fewer pages than a context needs");
    victim.truncate(0);
    return this.take(taker);
  }

  dispose(): void {
    this.cache.dispose();
    this.#sequences.clear();
  }
}

let clock = 0;

/** The tokens of one sequence whose K and V are cached, and the pages that hold them. */
export class KvSequence implements SequenceKv {
  readonly tokens: number[] = [];
  /** When it was used last, on a clock that only orders. */
  lastUse = 0;
  #pages = new Int32Array(16);
  #nPages = 0;
  readonly #pool: PagePool;
  readonly #giveBack: (pages: Iterable<number>) => void;

  constructor(pool: PagePool, giveBack: (pages: Iterable<number>) => void) {
    this.#pool = pool;
    this.#giveBack = giveBack;
  }

  get cache(): KvCache {
    return this.#pool.cache;
  }

  get length(): number {
    return this.tokens.length;
  }

  get nPages(): number {
    return this.#nPages;
  }

  get pages(): Int32Array {
    return this.#pages.subarray(0, this.#nPages);
  }

  reserve(nSlots: number): void {
    this.lastUse = ++clock;
    const needed = pagesFor(this.tokens.length + nSlots);
    if (needed > this.#pages.length) {
      const larger = new Int32Array(2 * needed);
      larger.set(this.#pages);
      this.#pages = larger;
    }
    while (this.#nPages < needed) {
      this.#pages[this.#nPages] = this.#pool.take(this);
      this.#nPages++;
    }
  }

  commit(tokens: readonly number[]): void {
    for (const token of tokens) this.tokens.push(token);
  }

  /** Forgets what lies behind the first `length` tokens, and gives whole pages behind it back. */
  truncate(length: number): void {
    this.tokens.length = Math.min(this.tokens.length, length);
    const kept = pagesFor(this.tokens.length);
    this.#giveBack(this.#pages.slice(kept, Math.max(kept, this.#nPages)));
    this.#nPages = Math.min(this.#nPages, kept);
  }

  /** Keeps what a prompt shares with it, at most all but the prompt's last token, whose row has to run for its logits. */
  keepPrefix(prompt: readonly number[]): void {
    const most = Math.min(this.tokens.length, prompt.length - 1);
    let shared = 0;
    while (shared < most && this.tokens[shared] === prompt[shared]) shared++;
    this.truncate(shared);
  }
}

export function pagesFor(nSlots: number): number {
  return Math.ceil(nSlots / PAGE_SIZE);
}
