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
  /**
   * A value of the program's forward, [width], where the model was loaded with `keepValues`: any but the result of a linear
   * operation that a low-rank term is added to, logits, and what is declared for other rows.
   */
  value(id: string, row: number): Float32Array;
}

/** Runs forests: rows in, hidden states and logits out. One forward at a time; a second call while one runs throws. */
export interface Executor {
  readonly program: Program;
  /** Bytes of weights as used (repacked). */
  readonly weightBytes: number;
  /** Of these, bytes that were packed for the model whose weights it shares. */
  readonly sharedWeightBytes: number;
  /** Allocates a KV cache of nPages pages for all layers. */
  createCache(nPages: number): KvCache;
  /** Runs the program for a forest. Writes the rows' K and V to their slots. */
  forward(forest: Forest, cache: KvCache): Promise<RowResults>;
  /** Copies the K and V of slots `from[i]` of a sequence to slots `to[i]`, in order of i. Slots are positions into `pages`. */
  moveKv(cache: KvCache, pages: Int32Array | readonly number[], from: readonly number[], to: readonly number[]): void;
  /**
   * Replaces values of trainable parameters, [rows · cols] float32 by id, as if the program had been loaded with them;
   * `program.parameters` keeps what it was loaded with. The values are read until the promise resolves. Where one does not
   * fit, it rejects and replaces none. Not while a forward runs.
   */
  replaceParameters(values: ReadonlyMap<string, Float32Array>): Promise<void>;
  dispose(): void;
}

/** What to sample in a forward. */
export interface SamplingRequests {
  /** For some of the token rows that need output. */
  readonly draws: readonly Draw[];
  /** Proposals that will probably be requested first. A hint: results are the same without. */
  readonly lookaheads?: readonly Lookahead[];
}

/**
 * A request ahead for the proposals behind the last token that verification of a sequence's tree accepts, and for those
 * behind the likeliest of them, as deep as the MASK run there or the heads go. A backend may answer it in the call of the
 * forward, where drawn tokens and logits are at hand; `propose` then returns the answers.
 */
export interface Lookahead {
  readonly kind: "mask" | "head";
  /** Most nodes of each level at which proposals are made; of the first level there is one. */
  readonly widths: readonly number[];
  readonly count: number;
  readonly proposeFor: ProposeFor;
  /** Index of the sequence's first draw; the draws of its tree's other rows follow. */
  readonly firstDraw: number;
  /** One per draw, parents before children. */
  readonly anchors: readonly LookaheadAnchor[];
}

export interface LookaheadAnchor {
  /** Index of the anchor before it; -1: the first one. */
  readonly parent: number;
  /** Its own token: what has to be drawn at its parent. */
  readonly token: number;
  /** mask: first row of its run; head: its own row. */
  readonly row: number;
  /** Rows of the run, or number of heads; 0: none. */
  readonly length: number;
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
