import type { Proposed, ProposeFor, Sampler, SamplerSettings } from "../compute/backend.ts";
import { type DraftModel, DraftSequence } from "./draft-model.ts";
import { noCandidates, type Proposer } from "./proposer.ts";

/** Rows of one step: so a prompt is caught up with in pieces, between which others' steps run. */
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
 * token; alternatives come from the same rows. What a draft left in its KV cache stays as far as the text follows it.
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
  #nChecked = 0;
  #preparing: Promise<void> | undefined;
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

  async prepare(depth: number, width: number, signal: AbortSignal | undefined): Promise<number> {
    this.#preparing = this.#prepare(depth, width, signal);
    await this.#preparing;
    return this.#chain.length;
  }

  async #prepare(depth: number, width: number, signal: AbortSignal | undefined): Promise<void> {
    const { contextLength } = this.#draft;
    this.#chain = [];
    const most = Math.min(depth, contextLength - this.#tokens.length);
    if (most < 1) return;
    this.#forgetOthers();
    // Where the text depends on what is proposed, that must not depend on others' drafts.
    const waits = this.#options.proposeFor === "rejection";
    const nTokens = this.#tokens.length + most - 1;
    if (!(await this.#draft.admit(this.#sequence, nTokens, { waits, signal }))) return;
    try {
      await this.#write(most, width, signal);
    } finally {
      this.#draft.rest(this.#sequence);
    }
  }

  /** Caches all of the text, then drafts a chain of at most `most` tokens. */
  async #write(most: number, width: number, signal: AbortSignal | undefined): Promise<void> {
    const { proposeFor, endTokens } = this.#options;
    const common = { sequence: this.#sequence, sampler: this.#sampler, proposeFor };
    const cached = this.#sequence.tokens;
    while (!signal?.aborted && this.#tokens.length - cached.length > CHUNK_ROWS) {
      const pending = this.#tokens.slice(cached.length, cached.length + CHUNK_ROWS);
      await this.#draft.step({ ...common, pending, extra: [], count: 0 });
    }
    this.#nChecked = this.#tokens.length;
    const path: number[] = [];
    let pending: readonly number[] = this.#tokens.slice(cached.length);
    while (!signal?.aborted) {
      const proposed = await this.#draft.step({ ...common, pending, extra: [...path], count: width });
      const [token] = proposed.tokens;
      if (token === undefined) return;
      this.#chain.push(proposed);
      path.push(token);
      pending = [token];
      if (path.length === most || endTokens.has(token)) return;
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
    await Promise.allSettled([this.#preparing]);
    this.#draft.truncate(this.#sequence, 0);
    this.#sampler.dispose();
  }

  /** Keeps of what is cached what the text begins with, but its last token. */
  #forgetOthers(): void {
    const cached = this.#sequence.tokens;
    const most = Math.min(cached.length, this.#tokens.length - 1);
    let shared = Math.min(this.#nChecked, most);
    while (shared < most && cached[shared] === this.#tokens[shared]) shared++;
    this.#draft.truncate(this.#sequence, shared);
  }
}
