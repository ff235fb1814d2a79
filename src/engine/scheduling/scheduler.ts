import { PAGE_SIZE } from "../../compute/forest/forest.ts";
import { PREFILL_CHUNK_WHILE_DECODING, MAX_FORWARD_ROWS, MAX_ROUND_ROWS, MAX_BATCH_ROUND_ROWS } from "../limits.ts";
import { type BlockParent, cachedBlocks, type BlockKey, type PagePool, pagesFor } from "../kv/page-pool.ts";
import { Shares } from "./shares.ts";
import type { Sequence } from "./sequence.ts";

/** Steps of waiting, running or not, that raise a request's priority by one, so that none starves. */
export const STEPS_PER_PRIORITY = 256;

interface Entry {
  readonly sequence: Sequence;
  readonly priority: number;
  readonly share: string;
  /** Arrival number. */
  readonly arrival: number;
  /** Steps in which it could have run and did not. */
  waited: number;
  /** Last step in which it ran. */
  lastRun: number;
  hasRun: boolean;
}

/** A sequence's part of a step. */
export interface ScheduledSequence {
  readonly sequence: Sequence;
  /** Charged for its tokens, even if the sequence ends in this step. */
  readonly share: string;
  /** Most pending tokens to compute. */
  readonly maxPending: number;
}

export interface SchedulerOptions {
  /** Most running sequences. */
  readonly maxSequences: number;
}

/**
 * Chooses the sequences of each forward and allocates their pages. Sequences are ordered by effective priority (which
 * grows while they wait), then by tokens served to their share (least first), then by arrival. The last in this order
 * are preempted first.
 */
export class Scheduler {
  readonly #pool: PagePool;
  readonly #maxSequences: number;
  readonly #waiting = new Set<Entry>();
  readonly #running = new Set<Entry>();
  readonly #entries = new Map<Sequence, Entry>();
  readonly #shares = new Shares();
  /** Number of preemptions. */
  nPreempted = 0;
  #step = 0;
  #nArrived = 0;

  constructor(pool: PagePool, { maxSequences }: SchedulerOptions) {
    this.#pool = pool;
    this.#maxSequences = maxSequences;
  }

  /** All unfinished sequences. */
  get sequences(): readonly Sequence[] {
    return [...this.#entries.keys()];
  }

  /** Whether an unfinished sequence has a slot. */
  isRunning(sequence: Sequence): boolean {
    const entry = this.#entries.get(sequence);
    return entry !== undefined && this.#running.has(entry);
  }

  /**
   * Unfinished sequences that count towards the limit of the queue. A sequence whose reader lags does not count, since
   * it gives up its slot when another needs it; at most `maxSequences` of these are left out, to bound memory.
   */
  get occupancy(): number {
    let nLagging = 0;
    for (const { stream } of this.#entries.keys()) nLagging += stream.needsDrain ? 1 : 0;
    return this.#entries.size - Math.min(nLagging, this.#maxSequences);
  }

  add(sequence: Sequence): void {
    const { priority, share } = sequence.request;
    if (this.#entries.size === 0) this.#shares.clear();
    const entry = {
      sequence,
      priority,
      share,
      arrival: this.#nArrived++,
      waited: 0,
      lastRun: -1,
      hasRun: false,
    };
    this.#entries.set(sequence, entry);
    this.#waiting.add(entry);
  }

  remove(sequence: Sequence): void {
    const entry = this.#entries.get(sequence);
    if (entry === undefined) return;
    this.#entries.delete(sequence);
    this.#waiting.delete(entry);
    this.#running.delete(entry);
  }

  /**
   * Gives slots to waiting sequences. Returns those that run for the first time; they must be started before
   * `schedule`.
   */
  admit(): Sequence[] {
    const started: Sequence[] = [];
    while (true) {
      const candidate = this.#first(this.#waiting);
      if (candidate === undefined || !this.#makeRoom(candidate)) break;
      this.#waiting.delete(candidate);
      this.#running.add(candidate);
      candidate.sequence.kv.extend(candidate.sequence.cacheableTokens);
      if (candidate.hasRun) continue;
      candidate.hasRun = true;
      this.#shares.serve(candidate.share, candidate.sequence.nPending);
      started.push(candidate.sequence);
    }
    return started;
  }

  /** The batch of the next forward, with pages allocated. Empty: no sequence can run at present. */
  schedule(): ScheduledSequence[] {
    const runnable = [...this.#running].filter(({ sequence }) => !sequence.stream.needsDrain);
    const scheduled = this.#allocatePages(this.#assignTokens(runnable));
    if (scheduled.length > 0) this.#endStep();
    return scheduled;
  }

  /** Charges the sequence's share for tokens drawn in a step. */
  recordServed({ share }: ScheduledSequence, nTokens: number): void {
    this.#shares.serve(share, nTokens);
  }

  /** Pending tokens to compute for each sequence: rounds first, least recently run first; then prompts. */
  #assignTokens(runnable: readonly Entry[]): Map<Entry, number> {
    const budgets = new Map<Entry, number>();
    const rounds = runnable.filter(({ sequence }) => sequence.nPending === 1);
    const prompts = runnable.filter(({ sequence }) => sequence.nPending > 1);
    rounds.sort((a, b) => a.lastRun - b.lastRun || this.#compare(a, b));
    prompts.sort((a, b) => this.#compare(a, b));
    // Keeps room for one first round, in the last chunk of a prompt.
    const maxRoundRows = MAX_BATCH_ROUND_ROWS - (prompts.length > 0 ? MAX_ROUND_ROWS : 0);
    let nRoundRows = 0;
    for (const entry of rounds) {
      nRoundRows += 1 + entry.sequence.nScratchRows;
      if (nRoundRows > maxRoundRows) break;
      budgets.set(entry, 1);
    }
    nRoundRows = Math.min(nRoundRows, maxRoundRows);
    let left = rounds.length > 0 ? PREFILL_CHUNK_WHILE_DECODING : MAX_FORWARD_ROWS;
    const computed = new ComputedPages();
    for (const entry of prompts) {
      const { sequence } = entry;
      const { kv, tokens, isScoring } = sequence;
      kv.extend(sequence.cacheableTokens);
      // Another sequence computes the same page in this forward; it will be a cache hit.
      if (!computed.add(kv.nextKey(tokens)) && !isScoring) continue;
      const count = chunkOf(sequence, left);
      if (count <= 0) break;
      const isLast = count === sequence.nPending;
      if (isLast || isScoring) {
        nRoundRows += (isScoring ? count : 1) + (isLast ? sequence.nScratchRows : 0);
        if (nRoundRows > MAX_BATCH_ROUND_ROWS) break;
      }
      budgets.set(entry, count);
      left -= count;
    }
    return budgets;
  }

  /** Allocates pages, the first sequences first. If pages run out, the last running sequence is preempted. */
  #allocatePages(budgets: ReadonlyMap<Entry, number>): ScheduledSequence[] {
    const scheduled: ScheduledSequence[] = [];
    for (const entry of [...budgets.keys()].sort((a, b) => this.#compare(a, b))) {
      if (!this.#running.has(entry)) continue;
      const { sequence } = entry;
      const maxPending = budgets.get(entry) as number;
      const isLastChunk = sequence.nPending <= maxPending;
      const nRows = isLastChunk ? sequence.nPending + sequence.nScratchRows : maxPending;
      while (!sequence.kv.reserve(nRows)) {
        const victim = this.#preemptionOrder()[0] as Entry;
        this.#preempt(victim);
        if (victim === entry) break;
      }
      if (!this.#running.has(entry)) continue;
      entry.lastRun = this.#step;
      scheduled.push({ sequence, share: entry.share, maxPending });
    }
    return scheduled;
  }

  /** Preempts running sequences for `candidate`. False: not enough can be preempted. */
  #makeRoom(candidate: Entry): boolean {
    // Its reader lags, or its own priority is lower than `candidate`'s. Waiting raises no claim to the slots of others.
    const isPreemptible = (entry: Entry) =>
      entry.sequence.stream.needsDrain || this.#effectivePriority(entry) < candidate.priority;
    const running = this.#preemptionOrder();
    const victims = running.filter(isPreemptible);
    const others = running.filter((entry) => !isPreemptible(entry));
    // No preemption unless it suffices.
    if (!this.#fits(candidate, others, victims)) return false;
    for (const victim of victims) {
      if (this.#fits(candidate, [...this.#running], [])) break;
      this.#preempt(victim);
    }
    return true;
  }

  /** Whether a slot and pages suffice for `candidate` and `others` once `victims` are preempted. */
  #fits({ sequence }: Entry, others: readonly Entry[], victims: readonly Entry[]): boolean {
    if (others.length >= this.#maxSequences) return false;
    const referenced = pagesOf(others);
    const nFreed = [...pagesOf(victims)].filter((page) => !referenced.has(page)).length;
    let nNeeded = pagesFor(sequence.tokens.length + MAX_ROUND_ROWS) - nSharedPages(sequence, referenced);
    for (const other of others) nNeeded += nMissingPages(other);
    return nNeeded <= this.#pool.nAvailable + nFreed;
  }

  #preempt(entry: Entry): void {
    this.nPreempted++;
    entry.sequence.kv.release();
    this.#running.delete(entry);
    this.#waiting.add(entry);
  }

  /**
   * Ends a step. A sequence that could have run competes with those that did unless its effective priority is lower
   * than all of theirs.
   */
  #endStep(): void {
    const runnable = [...this.#entries.values()].filter(({ sequence }) => !sequence.stream.needsDrain);
    const ran = runnable.filter(({ lastRun }) => lastRun === this.#step);
    const lowest = Math.min(...ran.map((entry) => this.#effectivePriority(entry)));
    this.#shares.compete(
      runnable.filter((entry) => this.#effectivePriority(entry) >= lowest).map(({ share }) => share),
    );
    for (const entry of runnable) if (entry.lastRun < this.#step) entry.waited++;
    this.#step++;
  }

  /** Priority, raised by waiting. */
  #effectivePriority(entry: Entry): number {
    return entry.priority + Math.floor(entry.waited / STEPS_PER_PRIORITY);
  }

  /** Below 0: `a` comes first. */
  #compare(a: Entry, b: Entry): number {
    return (
      this.#effectivePriority(b) - this.#effectivePriority(a) ||
      this.#shares.served(a.share) - this.#shares.served(b.share) ||
      a.arrival - b.arrival
    );
  }

  #first(entries: Iterable<Entry>): Entry | undefined {
    let best: Entry | undefined;
    for (const entry of entries) {
      // Paused until its reader catches up.
      if (entry.sequence.stream.needsDrain) continue;
      if (best === undefined || this.#compare(entry, best) < 0) best = entry;
    }
    return best;
  }

  /** Running sequences in the order of preemption: those whose readers lag first. */
  #preemptionOrder(): Entry[] {
    return [...this.#running].sort(
      (a, b) => Number(b.sequence.stream.needsDrain) - Number(a.sequence.stream.needsDrain) || this.#compare(b, a),
    );
  }
}

function pagesOf(entries: readonly Entry[]): Set<number> {
  const pages = new Set<number>();
  for (const { sequence } of entries) for (const page of sequence.kv.pages) pages.add(page);
  return pages;
}

/**
 * Pages that a sequence with a slot still needs for its tokens and a round. At least one, so that it is not preempted
 * at once.
 */
function nMissingPages({ sequence, lastRun }: Entry): number {
  // Its first round is not chosen yet.
  const nScratchRows = lastRun < 0 ? MAX_ROUND_ROWS : sequence.nScratchRows;
  return Math.max(1, pagesFor(sequence.tokens.length + nScratchRows) - sequence.kv.nPages);
}

/** Tokens of a sequence's next chunk; at most `left`. */
function chunkOf({ kv, nPending, isScoring, nScratchRows }: Sequence, left: number): number {
  const most = isScoring ? Math.min(left, MAX_ROUND_ROWS) : left;
  // Chunks end at a page boundary, so that pages that others computed meanwhile can follow.
  if (nPending > most) return most - ((kv.length + most) % PAGE_SIZE);
  // Each row of a chunk that is scored counts as one of a round, of which there is always room for one.
  return isScoring && nPending + nScratchRows > MAX_ROUND_ROWS ? nPending - 1 : nPending;
}

/** Number of referenced pages that the sequence's tokens start with. */
function nSharedPages({ kv, cacheableTokens }: Sequence, referenced: ReadonlySet<number>): number {
  let n = 0;
  for (const { page } of cachedBlocks(kv.root, cacheableTokens)) {
    if (!referenced.has(page)) break;
    n++;
  }
  return n;
}

/** Pages that are computed by prompts of one forward. */
class ComputedPages {
  readonly #keys = new Map<BlockParent, Set<string>>();

  /** False: another prompt computes this page. */
  add(block: BlockKey | undefined): boolean {
    if (block === undefined) return true;
    const { parent, key } = block;
    const keys = this.#keys.get(parent) ?? new Set();
    if (keys.has(key)) return false;
    this.#keys.set(parent, keys.add(key));
    return true;
  }
}
