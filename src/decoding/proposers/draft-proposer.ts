import type { Proposed, ProposeFor } from "../../compute/sampling/proposal.ts";
import type { Sampler } from "../../compute/sampling/sampler.ts";
import type { SamplerSettings } from "../../compute/sampling/settings.ts";
import type { SequenceGrammar } from "../round/sequence-grammar.ts";
import { type DraftModel, DraftSequence } from "./draft-model.ts";
import { noCandidates, type PrefillBudget, type Proposer } from "./proposer.ts";

/** Most tokens that a draft computes itself without prefill: those of a few rounds, or of a short prompt. */
const MAX_UNPREFILLED = 64;
/** Rows of one step if everything has to be computed at once, so that other sequences' steps can run in between. */
const CHUNK_ROWS = 256;

export interface DraftOptions {
  /** Sampling settings of the request; in exact mode the draft uses the same noise, too. */
  readonly settings: SamplerSettings;
  readonly proposeFor: ProposeFor;
  /** Drafts end after them. */
  readonly endTokens: ReadonlySet<number>;
  /** Limits drafts. */
  readonly grammar?: SequenceGrammar | undefined;
}

/**
 * Drafts with a second model. Before each round it computes the new tokens and drafts a chain, one forward per token;
 * alternatives come from the same rows. The part of a draft that was accepted stays in its KV cache. A long prompt is
 * prefilled in chunks. If the output depends on the drafts (rejection verification) and there are too few pages for
 * that, the whole prompt is computed at once.
 */
export class DraftProposer implements Proposer {
  readonly kind = "draft";
  readonly #draft: DraftModel;
  readonly #options: DraftOptions;
  readonly #sampler: Sampler;
  readonly #sequence = new DraftSequence();
  readonly #tokens: number[] = [];
  #hasPrompt = false;
  /** Length of the cached prefix known to match the sequence. */
  #nMatching = 0;
  /** Tokens that were cached by prefill since the last draft. If they are evicted they are not prefilled again. */
  #nPrefilled = 0;
  /** Work that uses the sequence's pages. */
  #running: Promise<void> | undefined;
  /** Proposals at each depth; the first of each is the drafted chain. */
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
    // The last token is computed by the draft.
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
    const nDrafts = Math.min(depth, contextLength - this.#tokens.length);
    if (nDrafts < 1) return;
    this.#dropMismatch();
    this.#nPrefilled = 0;
    // Without exact verification the output depends on the proposals, so they must not depend on other drafts.
    const waits = this.#options.proposeFor === "rejection";
    if (!waits && this.#tokens.length - this.#sequence.tokens.length > MAX_UNPREFILLED) return;
    const nTokens = this.#tokens.length + nDrafts - 1;
    if (!(await this.#draft.admit(this.#sequence, nTokens, { waits, signal }))) return;
    try {
      await this.#draftChain(nDrafts, width, signal);
    } finally {
      this.#draft.release(this.#sequence);
    }
  }

  /** Computes all new tokens, then drafts a chain of at most `nDrafts` tokens. */
  async #draftChain(nDrafts: number, width: number, signal: AbortSignal | undefined): Promise<void> {
    const cached = this.#sequence.tokens;
    while (!signal?.aborted && this.#tokens.length - cached.length > CHUNK_ROWS) {
      const pending = this.#tokens.slice(cached.length, cached.length + CHUNK_ROWS);
      await this.#draft.step({ ...this.#common, pending, unverified: [], count: 0 });
    }
    this.#nMatching = this.#tokens.length;
    const path: number[] = [];
    let pending: readonly number[] = this.#tokens.slice(cached.length);
    while (!signal?.aborted) {
      const state = this.#options.grammar?.after(path);
      const limits = state === undefined ? {} : { allowed: state.allowed };
      const proposed = await this.#draft.step({
        ...this.#common,
        pending,
        unverified: [...path],
        count: width,
        ...limits,
      });
      const [token] = proposed.tokens;
      if (token === undefined) return;
      this.#chain.push(proposed);
      path.push(token);
      pending = [token];
      if (path.length === nDrafts || this.#options.endTokens.has(token)) return;
    }
  }

  candidates(path: readonly number[], count: number): Proposed {
    const proposed = this.#chain[path.length];
    if (proposed === undefined || path.some((token, i) => token !== this.#chain[i]?.tokens[0])) return noCandidates;
    const { tokens, confidences, from } = proposed;
    const first = { tokens: tokens.subarray(0, count), confidences: confidences.subarray(0, count) };
    return from === undefined ? first : { ...first, from };
  }

  async dispose(): Promise<void> {
    // Running rows write to the sequence's pages.
    await Promise.allSettled([this.#running]);
    this.#draft.truncate(this.#sequence, 0);
  }

  /** Common to all its steps. */
  get #common() {
    return { sequence: this.#sequence, sampler: this.#sampler, proposeFor: this.#options.proposeFor };
  }

  /** Drops cached tokens that do not match the sequence, and its last token. */
  #dropMismatch(): void {
    const cached = this.#sequence.tokens;
    const limit = Math.min(cached.length, this.#tokens.length - 1);
    let shared = Math.min(this.#nMatching, limit);
    while (shared < limit && cached[shared] === this.#tokens[shared]) shared++;
    this.#draft.truncate(this.#sequence, shared);
  }
}
