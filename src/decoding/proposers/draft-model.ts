import { type Forest, PAGE_SIZE } from "../../compute/forest/forest.ts";
import type { KvCache, LoadedModel } from "../../compute/loaded-model.ts";
import type { ProposalRequest, Proposed, ProposeFor } from "../../compute/sampling/proposal.ts";
import type { Sampler } from "../../compute/sampling/sampler.ts";
import { noCandidates } from "./proposer.ts";

/** Most rows of a forward: amortises reading the weights during prefill. */
const MAX_ROWS = 512;

/**
 * A sequence's part of the draft model's KV cache. Its pages may be evicted while it is not admitted; then `tokens` is
 * empty.
 */
export class DraftSequence {
  /** Cached tokens. */
  readonly tokens: number[] = [];
  readonly pages: number[] = [];
}

/** Rows to run after a sequence's cached tokens, and the number of proposals requested from the last one. */
export interface DraftStep {
  readonly sequence: DraftSequence;
  /** At least one. */
  readonly pending: readonly number[];
  readonly sampler: Sampler;
  /** Tokens before the proposed one that the sampler has not accepted. */
  readonly unverified: readonly number[];
  /** With a grammar: the tokens allowed there, a bit per token. */
  readonly allowed?: Uint32Array;
  /** Most tokens to propose; 0: prefill only. */
  readonly count: number;
  readonly proposeFor: ProposeFor;
}

/** A draft that waits for pages. */
interface Arrival {
  readonly sequence: DraftSequence;
  readonly nTokens: number;
  readonly answer: (isAdmitted: boolean) => void;
}

interface Waiting extends DraftStep {
  readonly resolve: (proposed: Proposed) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * A smaller model with the same vocabulary, which drafts for any number of sequences (Leviathan, Kalman, Matias, "Fast
 * inference from transformers via speculative decoding", arXiv 2211.17192). It owns the model and a KV cache;
 * concurrent steps of several sequences run in one forward. A draft is admitted with all pages that it may need, so it
 * can always finish. If pages run out, those of the sequences idle for longest are evicted and recomputed later.
 */
export class DraftModel {
  readonly model: LoadedModel;
  /** Longest sequence it drafts for: limited by the model's context and by its KV cache. */
  readonly contextLength: number;
  readonly #cache: KvCache;
  readonly #free: number[];
  /** Sequences with pages that are not admitted, least recently used first. */
  readonly #idle = new Set<DraftSequence>();
  /** Drafts that wait for pages, in order of arrival. */
  readonly #queue = new Set<Arrival>();
  #waiting: Waiting[] = [];
  #running: Promise<void> | undefined;

  /** Takes ownership of the model. `nPages` are shared by all sequences. */
  constructor(model: LoadedModel, contextLength: number, nPages: number) {
    this.model = model;
    this.contextLength = Math.min(contextLength, nPages * PAGE_SIZE);
    this.#cache = model.createCache(nPages);
    // A stack with page 0 on top.
    this.#free = Array.from({ length: nPages }, (_, i) => nPages - 1 - i);
  }

  /**
   * Allocates pages for `nTokens` tokens of a sequence, at most contextLength, until `release`. `waits`: wait for other
   * drafts if there are too few, first come first served. False: it was cancelled, or would have to wait.
   */
  admit(
    sequence: DraftSequence,
    nTokens: number,
    { waits, signal }: { readonly waits: boolean; readonly signal: AbortSignal | undefined },
  ): Promise<boolean> {
    if (signal?.aborted) return Promise.resolve(false);
    if (this.#queue.size === 0 && this.#tryAdmit(sequence, nTokens)) return Promise.resolve(true);
    if (!waits) return Promise.resolve(false);
    return new Promise((resolve) => {
      const cancel = () => {
        this.#queue.delete(arrival);
        resolve(false);
        // Drafts that arrived later may need fewer pages.
        this.#admitWaiting();
      };
      const answer = (isAdmitted: boolean) => {
        signal?.removeEventListener("abort", cancel);
        resolve(isAdmitted);
      };
      const arrival = { sequence, nTokens, answer };
      this.#queue.add(arrival);
      signal?.addEventListener("abort", cancel, { once: true });
    });
  }

  /** Ends the sequence's draft: unused pages are freed, the others can be evicted. */
  release(sequence: DraftSequence): void {
    this.#idle.add(sequence);
    this.truncate(sequence, sequence.tokens.length);
  }

  /**
   * Runs a step's rows, which are cached, and proposes. The sequence must be admitted and have no other step running.
   */
  step(step: DraftStep): Promise<Proposed> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ ...step, resolve, reject });
      this.#running ??= this.#run();
    });
  }

  /** Drops the cache after the first `length` tokens. Not while the sequence is admitted. */
  truncate(sequence: DraftSequence, length: number): void {
    sequence.tokens.length = Math.min(sequence.tokens.length, length);
    const nPages = Math.ceil(sequence.tokens.length / PAGE_SIZE);
    this.#free.push(...sequence.pages.splice(nPages));
    if (nPages === 0) this.#idle.delete(sequence);
    this.#admitWaiting();
  }

  /** Waits for running steps. */
  async dispose(): Promise<void> {
    await this.#running;
    this.#cache.dispose();
    this.model.dispose();
  }

  async #run(): Promise<void> {
    for (;;) {
      // Sequences with new answers submit their next steps first, so that these share a forward.
      await new Promise((resolve) => setImmediate(resolve));
      if (this.#waiting.length === 0) {
        this.#running = undefined;
        return;
      }
      const batch = this.#takeBatch();
      try {
        const result = await this.model.forward(forestOf(batch), this.#cache);
        const proposing: Waiting[] = [];
        const requests: ProposalRequest[] = [];
        let row = -1;
        for (const step of batch) {
          const { sequence, pending, sampler, unverified, allowed, count, proposeFor } = step;
          row += pending.length;
          sequence.tokens.push(...pending);
          if (count === 0) continue;
          const position = sequence.tokens.length;
          const limits = allowed === undefined ? {} : { allowed };
          requests.push({
            source: { kind: "token", row },
            sampler,
            position,
            unverified,
            count,
            proposeFor,
            ...limits,
          });
          proposing.push(step);
        }
        const proposed = requests.length === 0 ? [] : await result.propose(requests);
        for (const [i, { resolve }] of proposing.entries()) resolve(proposed[i] as Proposed);
        for (const { count, resolve } of batch) if (count === 0) resolve(noCandidates);
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
  }

  /** Steps of one forward. */
  #takeBatch(): Waiting[] {
    const batch: Waiting[] = [];
    let nRows = 0;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const step of waiting) {
      const { length } = step.pending;
      if (batch.length > 0 && nRows + length > MAX_ROWS) this.#waiting.push(step);
      else {
        batch.push(step);
        nRows += length;
      }
    }
    return batch;
  }

  #admitWaiting(): void {
    for (const arrival of this.#queue) {
      if (!this.#tryAdmit(arrival.sequence, arrival.nTokens)) return;
      this.#queue.delete(arrival);
      arrival.answer(true);
    }
  }

  /** Admits a sequence if there are enough pages, evicting idle sequences. */
  #tryAdmit(sequence: DraftSequence, nTokens: number): boolean {
    const nMissing = Math.ceil(nTokens / PAGE_SIZE) - sequence.pages.length;
    const victims = nMissing <= this.#free.length ? [] : this.#victims(sequence);
    const nAvailable = victims.reduce((sum, { pages }) => sum + pages.length, this.#free.length);
    if (nMissing > nAvailable) return false;
    for (const victim of victims) {
      if (this.#free.length >= nMissing) break;
      victim.tokens.length = 0;
      this.#free.push(...victim.pages.splice(0));
      this.#idle.delete(victim);
    }
    for (let i = 0; i < nMissing; i++) sequence.pages.push(this.#free.pop() as number);
    this.#idle.delete(sequence);
    return true;
  }

  /** Sequences whose pages can be evicted, in this order: idle ones, then waiting ones, the last to arrive first. */
  #victims(sequence: DraftSequence): DraftSequence[] {
    const waiting = new Set(Array.from(this.#queue, (arrival) => arrival.sequence).reverse());
    const unneeded = [...this.#idle].filter((other) => other !== sequence && !waiting.has(other));
    return [...unneeded, ...[...waiting].filter((other) => other !== sequence && other.pages.length > 0)];
  }
}

/** A chain for each step; its last row needs output if it proposes. */
function forestOf(batch: readonly DraftStep[]): Forest {
  const tokens = batch.flatMap(({ pending }) => pending);
  const sequences = batch.flatMap(({ pending }, i) => pending.map(() => i));
  const inStep = batch.flatMap(({ pending }) => pending.map((_, i) => i));
  const needsOutput = batch.flatMap(({ pending, count }) =>
    pending.map((_, i) => (count > 0 && i === pending.length - 1 ? 1 : 0)),
  );
  return {
    sequences: batch.map(({ sequence: { tokens, pages } }) => ({ length: tokens.length, pages })),
    tokens: Int32Array.from(tokens),
    positions: Int32Array.from(
      sequences,
      (i, row) => (batch[i]?.sequence.tokens.length ?? 0) + (inStep[row] as number),
    ),
    parents: Int32Array.from(inStep, (i, row) => (i === 0 ? -1 : row - 1)),
    gate: new Uint8Array(tokens.length),
    sequence: Int32Array.from(sequences),
    needsOutput: Uint8Array.from(needsOutput),
  };
}
