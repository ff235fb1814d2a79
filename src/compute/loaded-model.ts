import type { Forest } from "./forest/forest.ts";
import type { Program } from "./program/program.ts";
import type { Draw, Drawn } from "./sampling/draw.ts";
import type { Proposed, ProposalRequest, ProposalSource } from "./sampling/proposal.ts";
import type { Sampler } from "./sampling/sampler.ts";
import type { SamplerSettings } from "./sampling/settings.ts";

export interface KvCache {
  readonly nPages: number;
  dispose(): void;
}

/** Hidden states and logits of a forward, copied out. Valid until the next forward of the same model. */
export interface RowResults {
  /** After the final norm, [hidden]. */
  hidden(row: number): Float32Array;
  /** Token rows: [vocab] by token id. MASK rows: [draft vocabulary] in its order. Where there is no draft vocabulary: [vocab]. */
  logits(row: number): Float32Array;
  /**
   * Logits that proposals are chosen by: of a MASK row after the sampler head (its own where there is none), of an extra
   * head, both over the draft vocabulary; of a token row its own.
   */
  draftLogits(source: ProposalSource): Float32Array;
}

/** Runs forests: rows in, hidden states and logits out. One forward at a time; a second call while one runs throws. */
export interface Executor {
  readonly program: Program;
  /** Bytes of weights as used (repacked). */
  readonly weightBytes: number;
  /** Allocates a KV cache of nPages pages for all layers. */
  createCache(nPages: number): KvCache;
  /** Runs the program for a forest. Writes the rows' K and V to their slots. */
  forward(forest: Forest, cache: KvCache): Promise<RowResults>;
  /** Copies the K and V of slots `from[i]` of a sequence to slots `to[i]`, in order of i. Slots are positions into `pages`. */
  moveKv(cache: KvCache, pages: Int32Array | readonly number[], from: readonly number[], to: readonly number[]): void;
  dispose(): void;
}

/** What to sample in a forward. */
export interface SamplingRequests {
  /** For some of the token rows that need output. */
  readonly draws: readonly Draw[];
}

/** Results of a forward with what was sampled from them. */
export interface ForwardResult extends RowResults {
  /** One per draw, in order. */
  readonly drawn: readonly Drawn[];
  /**
   * For each request at most `count` tokens: of the source's 64 likeliest (or `count`) those that are best by `draftLogits`.
   * Exact: the best by the same settings and noise that verification will use. Rejection: drawn without replacement from
   * the distribution of these few after all settings, with noise of its own; at temperature 0 the best, certain.
   * One call takes the requests of all sequences of a step. No forward may start before it resolves.
   */
  propose(requests: readonly ProposalRequest[]): Promise<readonly Proposed[]>;
}

/** A model ready to run: an executor with sampling. In native code the draws are made in the call of the forward. */
export interface LoadedModel extends Executor {
  createSampler(settings: SamplerSettings): Sampler;
  forward(forest: Forest, cache: KvCache, sampling?: SamplingRequests): Promise<ForwardResult>;
  /** Milliseconds of the last forward by part, for doctor and bench; native only. */
  timings?(): Readonly<Record<string, number>>;
}
