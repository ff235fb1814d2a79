import {
  type Forest,
  type KvCache,
  type LoadedModel,
  PAGE_SIZE,
  type Proposed,
  type ProposeFor,
  type Sampler,
} from "../compute/backend.ts";
import { noCandidates } from "./proposer.ts";

/** Rows in one forward: enough to read each weight seldom when a prompt is caught up with. */
const MAX_ROWS = 512;

/** A text's part of the draft model's KV cache. Its pages may be taken away while no step of it waits; `tokens` is empty then. */
export class DraftSequence {
  /** Tokens whose K and V are cached. */
  readonly tokens: number[] = [];
  readonly pages: number[] = [];
}

/** Rows to run behind a sequence's cached tokens, and what their last one is to propose. */
export interface DraftStep {
  readonly sequence: DraftSequence;
  /** Tokens of the sequence that have to be cached. */
  readonly nCached: number;
  /** At least one. */
  readonly pending: readonly number[];
  readonly sampler: Sampler;
  /** The unverified ones of the tokens before the proposed one. */
  readonly extra: readonly number[];
  /** Most tokens to propose; 0: the rows are cached and nothing is proposed. */
  readonly count: number;
  readonly proposeFor: ProposeFor;
}

interface Waiting extends DraftStep {
  readonly resolve: (proposed: Proposed) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * A second, smaller model with the same vocabulary, which drafts for any number of texts (Leviathan, Kalman, Matias, "Fast
 * inference from transformers via speculative decoding", arXiv 2211.17192). It owns the model and a KV cache; steps of
 * several texts that wait at the same time run in one forward. Where pages run out, the texts that rest longest are
 * computed again later.
 */
export class DraftModel {
  readonly model: LoadedModel;
  /** Positions that the model was made for: no text is drafted beyond. */
  readonly contextLength: number;
  readonly #cache: KvCache;
  readonly #free: number[];
  /** Those that have pages, the one that was used longest ago first. */
  readonly #sequences = new Set<DraftSequence>();
  #waiting: Waiting[] = [];
  #running: Promise<void> | undefined;

  /** Takes ownership of the model. `nPages`: for all texts together. */
  constructor(model: LoadedModel, contextLength: number, nPages: number) {
    this.model = model;
    this.contextLength = contextLength;
    this.#cache = model.createCache(nPages);
    // The last one is taken first.
    this.#free = Array.from({ length: nPages }, (_, i) => nPages - 1 - i);
  }

  /**
   * Runs a step's rows, whose K and V are cached from then on, and proposes. Nothing is proposed, and nothing cached, where
   * there are too few pages for all steps that run, or the sequence's were taken away. Steps of one sequence come one after
   * the other.
   */
  step(step: DraftStep): Promise<Proposed> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ ...step, resolve, reject });
      this.#running ??= this.#run();
    });
  }

  /** Forgets what is cached behind the first `length` tokens. */
  truncate(sequence: DraftSequence, length: number): void {
    sequence.tokens.length = Math.min(sequence.tokens.length, length);
    const nPages = Math.ceil(sequence.tokens.length / PAGE_SIZE);
    this.#free.push(...sequence.pages.splice(nPages));
    if (nPages === 0) this.#sequences.delete(sequence);
  }

  /** Waits for what runs. */
  async dispose(): Promise<void> {
    await this.#running;
    this.#cache.dispose();
    this.model.dispose();
  }

  async #run(): Promise<void> {
    for (;;) {
      // Whoever was answered asks for its next step first, so that steps of all texts run together.
      await new Promise((resolve) => setImmediate(resolve));
      if (this.#waiting.length === 0) {
        this.#running = undefined;
        return;
      }
      const batch = this.#takeBatch();
      if (batch.length === 0) continue;
      try {
        const result = await this.model.forward(forestOf(batch), this.#cache);
        let row = -1;
        for (const { sequence, pending, sampler, extra, count, proposeFor, resolve } of batch) {
          row += pending.length;
          sequence.tokens.push(...pending);
          const draw = { row, sampler, position: sequence.tokens.length, extra };
          resolve(count === 0 ? noCandidates : result.propose(draw, pending.at(-1) as number, count, proposeFor));
        }
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
  }

  /** Steps that run together, with pages for their rows. */
  #takeBatch(): Waiting[] {
    const batch: Waiting[] = [];
    let nRows = 0;
    const waiting = this.#waiting;
    this.#waiting = [];
    const isBusy = new Set(waiting.map(({ sequence }) => sequence));
    for (const step of waiting) {
      const { sequence, nCached, pending, resolve } = step;
      if (sequence.tokens.length !== nCached) resolve(noCandidates);
      else if (batch.length > 0 && nRows + pending.length > MAX_ROWS) this.#waiting.push(step);
      else if (this.#reserve(sequence, pending.length, isBusy)) {
        batch.push(step);
        nRows += pending.length;
      } else resolve(noCandidates);
    }
    return batch;
  }

  #reserve(sequence: DraftSequence, nSlots: number, isBusy: ReadonlySet<DraftSequence>): boolean {
    const nPages = Math.ceil((sequence.tokens.length + nSlots) / PAGE_SIZE);
    while (sequence.pages.length < nPages) {
      const page = this.#free.pop();
      if (page !== undefined) {
        sequence.pages.push(page);
        continue;
      }
      const victim = [...this.#sequences].find((other) => other !== sequence && !isBusy.has(other));
      if (victim === undefined) {
        this.truncate(sequence, sequence.tokens.length);
        return false;
      }
      this.truncate(victim, 0);
    }
    this.#sequences.delete(sequence);
    this.#sequences.add(sequence);
    return true;
  }
}

/** A chain for each step, of which the last row is wanted where it is to propose. */
function forestOf(batch: readonly DraftStep[]): Forest {
  const tokens = batch.flatMap(({ pending }) => pending);
  const own = batch.flatMap(({ pending }, i) => pending.map(() => i));
  const inStep = batch.flatMap(({ pending }) => pending.map((_, i) => i));
  const wanted = batch.flatMap(({ pending, count }) =>
    pending.map((_, i) => (count > 0 && i === pending.length - 1 ? 1 : 0)),
  );
  return {
    sequences: batch.map(({ sequence: { tokens, pages } }) => ({ length: tokens.length, pages })),
    tokens: Int32Array.from(tokens),
    positions: Int32Array.from(own, (i, row) => (batch[i]?.sequence.tokens.length ?? 0) + (inStep[row] as number)),
    parents: Int32Array.from(inStep, (i, row) => (i === 0 ? -1 : row - 1)),
    gate: new Uint8Array(tokens.length),
    sequence: Int32Array.from(own),
    wanted: Uint8Array.from(wanted),
  };
}
