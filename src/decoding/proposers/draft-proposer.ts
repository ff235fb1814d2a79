import type { Proposed, ProposeFor } from "../../compute/sampling/proposal.ts";
import type { Sampler } from "../../compute/sampling/sampler.ts";
import type { SamplerSettings } from "../../compute/sampling/settings.ts";
import { type DraftModel, DraftSequence } from "./draft-model.ts";
import { noCandidates, type Proposer, type PrefillBudget } from "./proposer.ts";

/** Tokens that a draft reads before it begins: those of a few rounds, or of a short prompt. */
const MAX_UNPREFILLED = 64;
/** Rows of one step where there is no other way than to read everything at once: others' steps run between the pieces. */
const CHUNK_ROWS = 256;

export interface DraftOptions {
  /** Of the request: a draft is drawn as the text is, in exact mode with the same noise. */
  readonly settings: SamplerSettings;
  readonly proposeFor: ProposeFor;
  /** Nothing is drafted behind them. */
  readonly endTokens: ReadonlySet<number>;
}

/**
 * Drafts with a second model: before each round it catches up with the text and writes a chain of its own, one forward a
 * token; alternatives come from the same rows. What a draft left in its KV cache stays as far as the text follows it. Far
 * behind, as at a prompt, it reads ahead in pieces. A draft that the text depends on reads all the same at once where pages
 * are too few for that.
 */
export class DraftProposer implements Proposer {
  readonly kind = "draft";
  readonly #draft: DraftModel;
  readonly #options: DraftOptions;
  readonly #sampler: Sampler;
  readonly #sequence = new DraftSequence();
  readonly #tokens: number[] = [];
  #hasPrompt = false;
  /** Tokens of the text that the cache is known to begin with. */
  #nMatching = 0;
  /** Tokens that were cached when it read ahead, since the last draft. Pages that are taken away meanwhile are not read again. */
  #nPrefilled = 0;
  /** What uses the sequence's pages. */
  #running: Promise<void> | undefined;
  /** What the draft proposes at each depth; the first of each is the chain. */
  #chain: Proposed[] = [];

  constructor(draft: DraftModel, options: DraftOptions) {
    this.#draft = draft;
    this.#options = options;
    this.#sampler = draft.model.createSampler({ ...options.settings, logprobs: -1 });
  }

  observe(tokens: readonly number[]): void {
    this.#chain = [];
    if (!this.#hasPrompt) this.#sampler.prompt(Int32Array.from(tokens));
    else for (const token of tokens) this.#sampler.accept(token);
    this.#hasPrompt = true;
    for (const token of tokens) this.#tokens.push(token);
  }

  get needsPrefill(): boolean {
    const nCached = this.#sequence.tokens.length;
    if (this.#tokens.length >= this.#draft.contextLength || nCached < this.#nPrefilled) return false;
    return this.#tokens.length - nCached > MAX_UNPREFILLED;
  }

  prefill(budget: PrefillBudget, signal: AbortSignal | undefined): Promise<void> {
    this.#running = this.#prefill(budget, signal);
    return this.#running;
  }

  async prepare(depth: number, width: number, signal: AbortSignal | undefined): Promise<number> {
    this.#running = this.#prepare(depth, width, signal);
    await this.#running;
    return this.#chain.length;
  }

  async #prefill(budget: PrefillBudget, signal: AbortSignal | undefined): Promise<void> {
    this.#dropMismatch();
    const cached = this.#sequence.tokens;
    // The last token is the one to draft behind.
    const to = Math.min(cached.length + budget.tokens, this.#tokens.length - 1);
    const pending = this.#tokens.slice(cached.length, to);
    if (pending.length === 0) return;
    budget.tokens -= pending.length;
    if (!(await this.#draft.admit(this.#sequence, to, { waits: false, signal }))) {
      this.#nPrefilled = Number.POSITIVE_INFINITY;
      return;
    }
    try {
      await this.#draft.step({ ...this.#common, pending, unverified: [], count: 0 });
    } finally {
      this.#draft.release(this.#sequence);
    }
    this.#nPrefilled = to;
    this.#nMatching = to;
  }

  async #prepare(depth: number, width: number, signal: AbortSignal | undefined): Promise<void> {
    const { contextLength } = this.#draft;
    this.#chain = [];
    const most = Math.min(depth, contextLength - this.#tokens.length);
    if (most < 1) return;
    this.#dropMismatch();
    this.#nPrefilled = 0;
    // Where the text depends on what is proposed, that must not depend on others' drafts.
    const waits = this.#options.proposeFor === "rejection";
    if (!waits && this.#tokens.length - this.#sequence.tokens.length > MAX_UNPREFILLED) return;
    const nTokens = this.#tokens.length + most - 1;
    if (!(await this.#draft.admit(this.#sequence, nTokens, { waits, signal }))) return;
    try {
      await this.#write(most, width, signal);
    } finally {
      this.#draft.release(this.#sequence);
    }
  }

  /** Caches all of the text, then drafts a chain of at most `most` tokens. */
  async #write(most: number, width: number, signal: AbortSignal | undefined): Promise<void> {
    const cached = this.#sequence.tokens;
    while (!signal?.aborted && this.#tokens.length - cached.length > CHUNK_ROWS) {
      const pending = this.#tokens.slice(cached.length, cached.length + CHUNK_ROWS);
      await this.#draft.step({ ...this.#common, pending, unverified: [], count: 0 });
    }
    this.#nMatching = this.#tokens.length;
    const path: number[] = [];
    let pending: readonly number[] = this.#tokens.slice(cached.length);
    while (!signal?.aborted) {
      const proposed = await this.#draft.step({ ...this.#common, pending, unverified: [...path], count: width });
      const [token] = proposed.tokens;
      if (token === undefined) return;
      this.#chain.push(proposed);
      path.push(token);
      pending = [token];
      if (path.length === most || this.#options.endTokens.has(token)) return;
    }
  }

  candidates(path: readonly number[], count: number): Proposed {
    const proposed = this.#chain[path.length];
    if (proposed === undefined || path.some((token, i) => token !== this.#chain[i]?.tokens[0])) return noCandidates;
    const { tokens, confidences, from } = proposed;
    const most = { tokens: tokens.subarray(0, count), confidences: confidences.subarray(0, count) };
    return from === undefined ? most : { ...most, from };
  }

  async dispose(): Promise<void> {
    // Rows that run are written to the sequence's pages.
    await Promise.allSettled([this.#running]);
    this.#draft.truncate(this.#sequence, 0);
    this.#sampler.dispose();
  }

  /** Of all its steps. */
  get #common() {
    return { sequence: this.#sequence, sampler: this.#sampler, proposeFor: this.#options.proposeFor };
  }

  /** Keeps of what is cached what the text begins with, but its last token. */
  #dropMismatch(): void {
    const cached = this.#sequence.tokens;
    const most = Math.min(cached.length, this.#tokens.length - 1);
    let shared = Math.min(this.#nMatching, most);
    while (shared < most && cached[shared] === this.#tokens[shared]) shared++;
    this.#draft.truncate(this.#sequence, shared);
  }
}
