import { type Forest, PAGE_SIZE } from "../../compute/forest/forest.ts";
import type { KvCache, LoadedModel } from "../../compute/loaded-model.ts";
import type { Proposed, ProposalRequest, ProposeFor } from "../../compute/sampling/proposal.ts";
import type { Sampler } from "../../compute/sampling/sampler.ts";
import { noCandidates } from "./proposer.ts";

/** Rows in one forward: enough to read each weight seldom when a prompt is caught up with. */
const MAX_ROWS = 512;

/** A sequence's part of the draft model's KV cache. It may lose its pages while it is not admitted; `tokens` is empty then. */
export class DraftSequence {
  /** Tokens whose K and V are cached. */
  readonly tokens: number[] = [];
  readonly pages: number[] = [];
}

/** Rows to run behind a sequence's cached tokens, and proposals that are requested of the last one. */
export interface DraftStep {
  readonly sequence: DraftSequence;
  /** At least one. */
  readonly pending: readonly number[];
  readonly sampler: Sampler;
  /** Tokens before the proposed one that the sampler has not accepted. */
  readonly unverified: readonly number[];
  /** Most tokens to propose; 0: the rows are cached and nothing is proposed. */
  readonly count: number;
  readonly proposeFor: ProposeFor;
}

/** A draft that needs pages. */
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
 * A second, smaller model with the same vocabulary, which drafts for any number of sequences (Leviathan, Kalman, Matias, "Fast
 * inference from transformers via speculative decoding", arXiv 2211.17192). It owns the model and a KV cache; steps of
 * several sequences that wait at the same time run in one forward. A draft is admitted with all the pages that it may need, so
 * that it can always be finished. Where pages run out, the sequences idle for longest lose theirs and are computed again later.
 */
export class DraftModel {
  readonly model: LoadedModel;
  /** Longest sequence that is drafted for: positions that the model was made for, and that its cache holds of one sequence. */
  readonly contextLength: number;
  readonly #cache: KvCache;
  readonly #free: number[];
  /** Sequences with pages that are not admitted, the least recently used first. */
  readonly #idle = new Set<DraftSequence>();
  /** Drafts that wait for pages, in order of arrival. */
  readonly #queue = new Set<Arrival>();
  #waiting: Waiting[] = [];
  #running: Promise<void> | undefined;

  /** Takes ownership of the model. `nPages`: for all sequences together. */
  constructor(model: LoadedModel, contextLength: number, nPages: number) {
    this.model = model;
    this.contextLength = Math.min(contextLength, nPages * PAGE_SIZE);
    this.#cache = model.createCache(nPages);
    // The last one is taken first.
    this.#free = Array.from({ length: nPages }, (_, i) => nPages - 1 - i);
  }

  /**
   * Gives a sequence pages for `nTokens` tokens, at most contextLength, until `release`. `waits`: as long as other drafts hold
   * too many, first come first served. False: it was cancelled, or would have to wait.
   */
  admit(
    sequence: DraftSequence,
    nTokens: number,
    { waits, signal }: { readonly waits: boolean; readonly signal: AbortSignal | undefined },
  ): Promise<boolean> {
    if (signal?.aborted) return Promise.resolve(false);
    if (this.#queue.size === 0 && this.#allot(sequence, nTokens)) return Promise.resolve(true);
    if (!waits) return Promise.resolve(false);
    return new Promise((resolve) => {
      const cancel = () => {
        this.#queue.delete(arrival);
        resolve(false);
        // Those behind it may need less.
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

  /** The sequence's draft is done: unused pages are free, the others may be taken away. */
  release(sequence: DraftSequence): void {
    this.#idle.add(sequence);
    this.truncate(sequence, sequence.tokens.length);
  }

  /**
   * Runs a step's rows, whose K and V are cached from then on, and proposes. The sequence is admitted, its steps come one
   * after the other.
   */
  step(step: DraftStep): Promise<Proposed> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ ...step, resolve, reject });
      this.#running ??= this.#run();
    });
  }

  /** Forgets what is cached behind the first `length` tokens. Not while the sequence is admitted. */
  truncate(sequence: DraftSequence, length: number): void {
    sequence.tokens.length = Math.min(sequence.tokens.length, length);
    const nPages = Math.ceil(sequence.tokens.length / PAGE_SIZE);
    this.#free.push(...sequence.pages.splice(nPages));
    if (nPages === 0) this.#idle.delete(sequence);
    this.#admitWaiting();
  }

  /** Waits for what runs. */
  async dispose(): Promise<void> {
    await this.#running;
    this.#cache.dispose();
    this.model.dispose();
  }

  async #run(): Promise<void> {
    for (;;) {
      // Sequences that were answered request their next steps first, so that steps of all sequences run together.
      await new Promise((resolve) => setImmediate(resolve));
      if (this.#waiting.length === 0) {
        this.#running = undefined;
        return;
      }
      const batch = this.#takeBatch();
      try {
        const result = await this.model.forward(forestOf(batch), this.#cache);
        const asking: Waiting[] = [];
        const requests: ProposalRequest[] = [];
        let row = -1;
        for (const step of batch) {
          const { sequence, pending, sampler, unverified, count, proposeFor } = step;
          row += pending.length;
          sequence.tokens.push(...pending);
          if (count === 0) continue;
          const position = sequence.tokens.length;
          requests.push({ source: { kind: "token", row }, sampler, position, unverified, count, proposeFor });
          asking.push(step);
        }
        const proposed = requests.length === 0 ? [] : await result.propose(requests);
        for (const [i, { resolve }] of asking.entries()) resolve(proposed[i] as Proposed);
        for (const { count, resolve } of batch) if (count === 0) resolve(noCandidates);
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
  }

  /** Steps that run together. */
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
      if (!this.#allot(arrival.sequence, arrival.nTokens)) return;
      this.#queue.delete(arrival);
      arrival.answer(true);
    }
  }

  /** Admits a sequence where there are enough pages, those of idle sequences included. */
  #allot(sequence: DraftSequence, nTokens: number): boolean {
    const nMissing = Math.ceil(nTokens / PAGE_SIZE) - sequence.pages.length;
    const victims = nMissing <= this.#free.length ? [] : this.#victims(sequence);
    const nTakeable = victims.reduce((sum, { pages }) => sum + pages.length, this.#free.length);
    if (nMissing > nTakeable) return false;
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

  /** Sequences that may lose their pages, in this order: idle ones, then waiting ones, the last of them first. */
  #victims(sequence: DraftSequence): DraftSequence[] {
    const waiting = new Set(Array.from(this.#queue, (arrival) => arrival.sequence).reverse());
    const unneeded = [...this.#idle].filter((other) => other !== sequence && !waiting.has(other));
    return [...unneeded, ...[...waiting].filter((other) => other !== sequence && other.pages.length > 0)];
  }
}

/** A chain for each step, of which the last row needs output where it is to propose. */
function forestOf(batch: readonly DraftStep[]): Forest {
  const tokens = batch.flatMap(({ pending }) => pending);
  const own = batch.flatMap(({ pending }, i) => pending.map(() => i));
  const inStep = batch.flatMap(({ pending }) => pending.map((_, i) => i));
  const needsOutput = batch.flatMap(({ pending, count }) =>
    pending.map((_, i) => (count > 0 && i === pending.length - 1 ? 1 : 0)),
  );
  return {
    sequences: batch.map(({ sequence: { tokens, pages } }) => ({ length: tokens.length, pages })),
    tokens: Int32Array.from(tokens),
    positions: Int32Array.from(own, (i, row) => (batch[i]?.sequence.tokens.length ?? 0) + (inStep[row] as number)),
    parents: Int32Array.from(inStep, (i, row) => (i === 0 ? -1 : row - 1)),
    gate: new Uint8Array(tokens.length),
    sequence: Int32Array.from(own),
    needsOutput: Uint8Array.from(needsOutput),
  };
}
