import type { Forest } from "./forest/forest.ts";
import type { Program } from "./program/program.ts";
import type { Draw, Drawn } from "./sampling/draw.ts";
import type { Proposed, ProposalRequest, ProposalSource, ProposeFor } from "./sampling/proposal.ts";
import type { Sampler } from "./sampling/sampler.ts";
import type { SamplerSettings } from "./sampling/settings.ts";

export interface KvCache {
  readonly nPages: number;
  dispose(): void;
}

/** Hidden states and logits of a forward, copied. Valid until the next forward of the model. */
export interface RowResults {
  /** After the final norm, [hidden]. */
  hidden(row: number): Float32Array;
  /** Token rows: [vocab]. MASK rows: [draft vocabulary], or [vocab] without one. */
  logits(row: number): Float32Array;
  /**
   * Logits by which proposals are chosen. MASK row: after the sampler head, if there is one. Extra head: its own; both
   * over the draft vocabulary. Token row: its own.
   */
  draftLogits(source: ProposalSource): Float32Array;
  /**
   * A value of the program's forward, [width], if the model was loaded with `keepValues`. @throws for rows outside of the
   * value's declared ones. Limits of the native backend: no logits (use `logits`), and no results of linear operations that
   * a low-rank term is added to, since it adds the term in the same pass; their sum is available.
   */
  value(id: string, row: number): Float32Array;
}

/** Runs forests: rows in, hidden states and logits out. One forward at a time; a concurrent call throws. */
export interface Executor {
  readonly program: Program;
  /** Bytes of the packed weights. */
  readonly weightBytes: number;
  /** Bytes of these that are shared with another model. */
  readonly sharedWeightBytes: number;
  /** Allocates a KV cache of nPages pages, all layers. May be called while a forward runs. */
  createCache(nPages: number): KvCache;
  /** Runs the program for a forest. Writes K and V of the rows to their slots. */
  forward(forest: Forest, cache: KvCache): Promise<RowResults>;
  /**
   * Copies K and V of slots `from[i]` of a sequence to slots `to[i]`, in the order of i. Slots are positions in
   * `pages`.
   */
  moveKv(cache: KvCache, pages: Int32Array | readonly number[], from: readonly number[], to: readonly number[]): void;
  /**
   * Replaces trainable parameters, [rows · cols] float32 by id, as if the program had been loaded with them
   * (`program.parameters` is unchanged). The values are read until the promise resolves. Rejects without a change if
   * any does not fit. Not while a forward runs.
   */
  replaceParameters(values: ReadonlyMap<string, Float32Array>): Promise<void>;
  dispose(): void;
}

/** What to sample in a forward. */
export interface SamplingRequests {
  /** For token rows that need output. */
  readonly draws: readonly Draw[];
  /** Proposals that will probably be requested first. A hint that does not affect results. */
  readonly lookaheads?: readonly Lookahead[];
}

/**
 * A request in advance for the proposals after the last token that verification accepts, and for those after the most
 * likely of them, down to the length of the MASK run there or the number of heads. A backend may answer it as part of
 * the forward, where drawn tokens and logits are at hand; `propose` then returns the answers.
 */
export interface Lookahead {
  readonly kind: "mask" | "head";
  /** Most nodes of each level at which proposals are made; the first level has one. */
  readonly widths: readonly number[];
  readonly count: number;
  readonly proposeFor: ProposeFor;
  /** First draw of the sequence; those of its tree's other rows follow. */
  readonly firstDraw: number;
  /** One per draw, parents before children. */
  readonly anchors: readonly LookaheadAnchor[];
}

export interface LookaheadAnchor {
  /** Index of the parent anchor; -1: the first anchor. */
  readonly parent: number;
  /** Its token: accepted if it is drawn at the parent. */
  readonly token: number;
  /** mask: first row of its run; head: row of the anchor. */
  readonly row: number;
  /** Rows of the run, or number of heads; 0: none. */
  readonly length: number;
}

/** Results of a forward with its draws. */
export interface ForwardResult extends RowResults {
  /** One per draw, in order. */
  readonly drawn: readonly Drawn[];
  /**
   * At most `count` tokens for each request: among the 64 (or `count`) most likely tokens of the source, the best by
   * `draftLogits`. Exact: with the settings and the noise of verification. Rejection: drawn without replacement from
   * their distribution after all settings, with separate noise; at temperature 0 the best one, with certainty. One call
   * takes the requests of all sequences of a step. No forward may start before it resolves.
   */
  propose(requests: readonly ProposalRequest[]): Promise<readonly Proposed[]>;
}

/** A model ready to run: an executor with sampling. The native backend samples in the call of the forward. */
export interface LoadedModel extends Executor {
  createSampler(settings: SamplerSettings): Sampler;
  forward(forest: Forest, cache: KvCache, sampling?: SamplingRequests): Promise<ForwardResult>;
  /** Milliseconds of the last forward by phase, for doctor and bench; native only. */
  timings?(): Readonly<Record<string, number>>;
}
