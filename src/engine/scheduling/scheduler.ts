import { PAGE_SIZE } from "../../compute/forest/forest.ts";
import { CHUNK_BESIDE_DECODING, MAX_FORWARD_ROWS, MAX_ROUND_ROWS, MAX_ROUND_ROWS_TOGETHER } from "../limits.ts";
import { type BlockParent, cachedBlocks, type PagePlace, type PagePool, pagesFor } from "../kv/page-pool.ts";
import { Shares } from "./shares.ts";
import type { Writing } from "./writing.ts";

/**
 * Forwards that a request has to wait, with a place or without, to count as one of the next higher priority. So nobody
 * starves: after enough of them it goes before everything that comes.
 */
export const STEPS_PER_PRIORITY = 256;

/** A text in the scheduler's hands. */
interface Entry {
  readonly writing: Writing;
  readonly priority: number;
  readonly share: string;
  /** Orders those that came. */
  readonly arrival: number;
  /** Steps that it was not part of, though it could have run. */
  waited: number;
  /** Step that it ran in last. */
  lastRun: number;
  hasRun: boolean;
}

/** One sequence's part of a step. */
export interface Turn {
  readonly writing: Writing;
  /** Who is billed, also where it ends with this step. */
  readonly share: string;
  /** Most verified tokens that it may feed. */
  readonly maxPending: number;
}

export interface SchedulerOptions {
  /** Sequences that run at once. */
  readonly maxSequences: number;
}

/**
 * Decides which sequences run in the next forward, and gives them pages. The most entitled wait least and lose their
 * pages last: by priority (which grows while they wait), then those whose share was served least, then by arrival.
 */
export class Scheduler {
  readonly #pool: PagePool;
  readonly #maxSequences: number;
  readonly #waiting = new Set<Entry>();
  readonly #running = new Set<Entry>();
  readonly #entries = new Map<Writing, Entry>();
  readonly #shares = new Shares();
  /** How often a text lost its place and its pages to another. */
  nPreempted = 0;
  #step = 0;
  #nArrived = 0;

  constructor(pool: PagePool, { maxSequences }: SchedulerOptions) {
    this.#pool = pool;
    this.#maxSequences = maxSequences;
  }

  /** All that are unfinished. */
  get writings(): readonly Writing[] {
    return [...this.#entries.keys()];
  }

  /**
   * Unfinished texts, as far as they count where more want to come. One that is behind its reader does not, as it gives its
   * place to whoever needs one; but no more of them than there are places, so that what is held is bounded.
   */
  get nCounted(): number {
    let nBehind = 0;
    for (const { stream } of this.#entries.keys()) nBehind += stream.isBehind ? 1 : 0;
    return this.#entries.size - Math.min(nBehind, this.#maxSequences);
  }

  add(writing: Writing): void {
    const { priority, share } = writing.request;
    if (this.#entries.size === 0) this.#shares.clear();
    const entry = {
      writing,
      priority,
      share,
      arrival: this.#nArrived++,
      waited: 0,
      lastRun: -1,
      hasRun: false,
    };
    this.#entries.set(writing, entry);
    this.#waiting.add(entry);
  }

  remove(writing: Writing): void {
    const entry = this.#entries.get(writing);
    if (entry === undefined) return;
    this.#entries.delete(writing);
    this.#waiting.delete(entry);
    this.#running.delete(entry);
  }

  /** Texts that are to run now for the first time; they have to `begin` before `next`. */
  admit(): Writing[] {
    const begun: Writing[] = [];
    while (true) {
      const head = this.#mostEntitled(this.#waiting);
      if (head === undefined || !this.#makePlace(head)) break;
      this.#waiting.delete(head);
      this.#running.add(head);
      head.writing.kv.extend(head.writing.tokens);
      if (head.hasRun) continue;
      head.hasRun = true;
      this.#shares.serve(head.share, head.writing.nPending);
      begun.push(head.writing);
    }
    return begun;
  }

  /** The next forward; empty: nothing can run until something happens. Pages are reserved. */
  next(): Turn[] {
    const runnable = [...this.#running].filter(({ writing }) => !writing.stream.isBehind);
    const turns = this.#withPages(this.#share(runnable));
    if (turns.length > 0) this.#pass();
    return turns;
  }

  /** A text has got so many tokens in a step. */
  served({ share }: Turn, nTokens: number): void {
    this.#shares.serve(share, nTokens);
  }

  /** Most verified tokens of each that runs: rounds first, those that ran longest ago before the others; then prompts. */
  #share(runnable: readonly Entry[]): Map<Entry, number> {
    const shares = new Map<Entry, number>();
    const rounds = runnable.filter(({ writing }) => writing.nPending === 1);
    const prompts = runnable.filter(({ writing }) => writing.nPending > 1);
    rounds.sort((a, b) => a.lastRun - b.lastRun || this.#compare(a, b));
    prompts.sort((a, b) => this.#compare(a, b));
    // A prompt's last chunk carries its first round: there is always room for one.
    const mostInRounds = MAX_ROUND_ROWS_TOGETHER - (prompts.length > 0 ? MAX_ROUND_ROWS : 0);
    let nRoundRows = 0;
    for (const entry of rounds) {
      nRoundRows += 1 + entry.writing.nScratchRows;
      if (nRoundRows > mostInRounds) break;
      shares.set(entry, 1);
    }
    nRoundRows = Math.min(nRoundRows, mostInRounds);
    let left = rounds.length > 0 ? CHUNK_BESIDE_DECODING : MAX_FORWARD_ROWS;
    const computed = new ComputedPages();
    for (const entry of prompts) {
      const { kv, tokens, nScratchRows } = entry.writing;
      kv.extend(tokens);
      const nPending = tokens.length - kv.length;
      // Another computes what comes next in this very forward: then it is found there, as a part of the cache.
      if (!computed.add(kv.nextPage(tokens))) continue;
      // Chunks end with a page, so that what others computed meanwhile fits behind.
      const most = nPending <= left ? nPending : left - ((kv.length + left) % PAGE_SIZE);
      if (most <= 0) break;
      if (most === nPending) {
        nRoundRows += 1 + nScratchRows;
        if (nRoundRows > MAX_ROUND_ROWS_TOGETHER) break;
      }
      shares.set(entry, most);
      left -= most;
    }
    return shares;
  }

  /** Gives pages in order of entitlement; where they run out the least entitled of all has to give its own. */
  #withPages(shares: ReadonlyMap<Entry, number>): Turn[] {
    const turns: Turn[] = [];
    for (const entry of [...shares.keys()].sort((a, b) => this.#compare(a, b))) {
      if (!this.#running.has(entry)) continue;
      const { writing } = entry;
      const maxPending = shares.get(entry) as number;
      const isWhole = writing.nPending <= maxPending;
      const nRows = isWhole ? writing.nPending + writing.nScratchRows : maxPending;
      while (!writing.kv.reserve(nRows)) {
        const victim = this.#leastEntitledFirst()[0] as Entry;
        this.#preempt(victim);
        if (victim === entry) break;
      }
      if (!this.#running.has(entry)) continue;
      entry.lastRun = this.#step;
      turns.push({ writing, share: entry.share, maxPending });
    }
    return turns;
  }

  /** Whether `head` can run: a place and pages are there, or those who have them are less entitled. */
  #makePlace(head: Entry): boolean {
    // Behind its reader, or of a lower priority than the head's own: age gives no right to others' places.
    const mayLose = (entry: Entry) => entry.writing.stream.isBehind || this.#level(entry) < head.priority;
    const running = this.#leastEntitledFirst();
    const victims = running.filter(mayLose);
    const others = running.filter((entry) => !mayLose(entry));
    // Nobody gives its place in vain.
    if (!this.#fits(head, others, victims)) return false;
    for (const victim of victims) {
      if (this.#fits(head, [...this.#running], [])) break;
      this.#preempt(victim);
    }
    return true;
  }

  /** Whether a place and pages are there for `head` beside `others`, once `victims` have given theirs. */
  #fits({ writing }: Entry, others: readonly Entry[], victims: readonly Entry[]): boolean {
    if (others.length >= this.#maxSequences) return false;
    const held = pagesOf(others);
    const nFreed = [...pagesOf(victims)].filter((page) => !held.has(page)).length;
    let nNeeded = pagesFor(writing.tokens.length + MAX_ROUND_ROWS) - nShared(writing, held);
    for (const other of others) nNeeded += nLacking(other);
    return nNeeded <= this.#pool.nAvailable + nFreed;
  }

  #preempt(entry: Entry): void {
    this.nPreempted++;
    entry.writing.kv.release();
    this.#running.delete(entry);
    this.#waiting.add(entry);
  }

  /** A step passes. Who could run competes with those that did, unless its priority is lower than all of theirs. */
  #pass(): void {
    const able = [...this.#entries.values()].filter(({ writing }) => !writing.stream.isBehind);
    const ran = able.filter(({ lastRun }) => lastRun === this.#step);
    const lowest = Math.min(...ran.map((entry) => this.#level(entry)));
    this.#shares.compete(able.filter((entry) => this.#level(entry) >= lowest).map(({ share }) => share));
    for (const entry of able) if (entry.lastRun < this.#step) entry.waited++;
    this.#step++;
  }

  /** Priority with age. */
  #level(entry: Entry): number {
    return entry.priority + Math.floor(entry.waited / STEPS_PER_PRIORITY);
  }

  /** Below 0: `a` is more entitled. */
  #compare(a: Entry, b: Entry): number {
    return (
      this.#level(b) - this.#level(a) ||
      this.#shares.served(a.share) - this.#shares.served(b.share) ||
      a.arrival - b.arrival
    );
  }

  #mostEntitled(entries: Iterable<Entry>): Entry | undefined {
    let best: Entry | undefined;
    for (const entry of entries) {
      // Nobody reads what it would write.
      if (entry.writing.stream.isBehind) continue;
      if (best === undefined || this.#compare(entry, best) < 0) best = entry;
    }
    return best;
  }

  /** Those that run, in the order in which they lose their places: first who is behind its reader. */
  #leastEntitledFirst(): Entry[] {
    return [...this.#running].sort(
      (a, b) => Number(b.writing.stream.isBehind) - Number(a.writing.stream.isBehind) || this.#compare(b, a),
    );
  }
}

function pagesOf(entries: readonly Entry[]): Set<number> {
  const pages = new Set<number>();
  for (const { writing } of entries) for (const page of writing.kv.pages) pages.add(page);
  return pages;
}

/** Pages that a text with a place lacks for its tokens and a round; one at least, so that it is not thrown out at once. */
function nLacking({ writing, lastRun }: Entry): number {
  // Its first round is not chosen yet.
  const nScratchRows = lastRun < 0 ? MAX_ROUND_ROWS : writing.nScratchRows;
  return Math.max(1, pagesFor(writing.tokens.length + nScratchRows) - writing.kv.nPages);
}

/** How many of the pages that are held a text begins with. */
function nShared({ kv, tokens }: Writing, held: ReadonlySet<number>): number {
  let n = 0;
  for (const { page } of cachedBlocks(kv.root, tokens)) {
    if (!held.has(page)) break;
    n++;
  }
  return n;
}

/** Pages that the prompts of one forward compute. */
class ComputedPages {
  readonly #keys = new Map<BlockParent, Set<string>>();

  /** False: it is there already. */
  add(place: PagePlace | undefined): boolean {
    if (place === undefined) return true;
    const { parent, key } = place;
    const keys = this.#keys.get(parent) ?? new Set();
    if (keys.has(key)) return false;
    this.#keys.set(parent, keys.add(key));
    return true;
  }
}
