import type { Forest } from "./forest/forest.ts";
import type { Program } from "./program/program.ts";
import type { Draw, Drawn } from "./sampling/draw.ts";
import type { Proposed, ProposeFor } from "./sampling/proposal.ts";
import type { Sampler } from "./sampling/sampler.ts";
import type { SamplerSettings } from "./sampling/settings.ts";

/** What to sample in a forward. */
export interface SamplingRequests {
  /** For some of the token rows that need output. */
  readonly draws: readonly Draw[];
}

/** Results of a forward; valid until the next forward of the same model, copied out by its methods. Rows are forest rows. */
export interface ForwardResult {
  /** One per draw, in order. */
  readonly drawn: readonly Drawn[];
  /** After the final norm, [hidden]. */
  hidden(row: number): Float32Array;
  /** Token rows: [vocab] by token id. MASK rows: [draft vocabulary] in its order. Where there is no draft vocabulary: [vocab]. */
  logits(row: number): Float32Array;
  /** MASK row, given the token before the predicted one: logits after the sampler head, shape as `logits`. Equal to `logits` where there is no head. */
  logitsAfterHead(row: number, previous: number): Float32Array;
  /**
   * At most `count` tokens of a row: of its 64 best (or `count`), re-ranked by the sampler head where it is a MASK row,
   * given the token before the predicted one. Exact: the best by the same settings and noise (of `draw.position`) that
   * verification will use. Rejection: drawn without replacement from the distribution of these few after all settings, with
   * noise of its own; at temperature 0 the best, certain. `draw.row` is the MASK row (or a token row of a drafting model);
   * `extra` the unverified tokens before the predicted one.
   */
  propose(draw: Draw, previous: number, count: number, proposeFor: ProposeFor): Proposed;
  /** Token row: logits of an extra head, [draft vocabulary] in its order, or [vocab] by token id where there is none. */
  extraLogits(row: number, head: number): Float32Array;
  /**
   * As `propose`, by an extra head of the token row `draw.row`; `draw.position` is that of the predicted token, the row's
   * position + head + 2, and `extra` the unverified tokens before it.
   */
  proposeExtra(draw: Draw, head: number, count: number, proposeFor: ProposeFor): Proposed;
}

export interface KvCache {
  readonly nPages: number;
  dispose(): void;
}

/** A model ready to run. One forward at a time: a second call while one runs is a programming error and throws. */
export interface LoadedModel {
  readonly program: Program;
  /** Bytes of weights as used (repacked). */
  readonly weightBytes: number;
  /** Allocates a KV cache of nPages pages for all layers. */
  createCache(nPages: number): KvCache;
  createSampler(settings: SamplerSettings): Sampler;
  /** Runs the program for a forest. Writes the rows' K and V to their slots. Resolves off the event loop (native). */
  forward(forest: Forest, cache: KvCache, sampling?: SamplingRequests): Promise<ForwardResult>;
  /** Copies the K and V of slots `from[i]` of a sequence to slots `to[i]`, in order of i. Slots are positions into `pages`. */
  moveKv(cache: KvCache, pages: Int32Array | readonly number[], from: readonly number[], to: readonly number[]): void;
  /** Milliseconds of the last forward by part, for doctor and bench; native only. */
  timings?(): Readonly<Record<string, number>>;
  dispose(): void;
}
