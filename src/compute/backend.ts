import type { IdlmError } from "../errors.ts";
import type { Program } from "./program/program.ts";

/** Positions in one page of the KV cache, and in one block of attention: the same number, so that a block is a page. */
export const PAGE_SIZE = 16;

/** Raised whenever the bits of any result change. */
export const NUMERICS = 2;

/** A sequence that a forest's rows belong to: `length` positions are in the cache, in `pages` in order. */
export interface ForestSequence {
  readonly length: number;
  /** Page numbers; position i lies in pages[i >> 4] at i & 15. Must cover length + the highest slot used. */
  readonly pages: Int32Array | readonly number[];
}

/**
 * The rows of one forward, parents before children. A row sees the `length` cached positions of its sequence, its
 * ancestors in the forest, and itself. Row r of a sequence is written at slot `length + (number of the sequence's rows
 * before r)`, so a chain is where it must be and needs no copy to be committed.
 */
export interface Forest {
  readonly sequences: readonly ForestSequence[];
  /** Token id, or -1: a MASK row. */
  readonly tokens: Int32Array;
  /** For the rotary embedding. */
  readonly positions: Int32Array;
  /** Row index of the parent; -1: hangs off the last cached position of its sequence. */
  readonly parents: Int32Array;
  /** 1: the adapter acts on this row. */
  readonly gate: Uint8Array;
  /** Index into `sequences`. */
  readonly sequence: Int32Array;
  /** 1: the row's hidden state and logits are wanted. */
  readonly wanted: Uint8Array;
  /** What to draw, for some of the wanted token rows. */
  readonly draws?: readonly Draw[];
}

/** Settings of a sampler, in the order in which they act. Neutral values switch a step off. */
export interface SamplerSettings {
  /** 1: off. Divides positive and multiplies negative logits of tokens in prompt or output. */
  readonly repetitionPenalty: number;
  /** 0: off. Subtracted once from each token of the output. */
  readonly presencePenalty: number;
  /** 0: off. Subtracted per occurrence in the output. */
  readonly frequencyPenalty: number;
  /** Added to logits, by token id. */
  readonly logitBias: ReadonlyMap<number, number>;
  /** 0: greedy, the lowest id wins a tie. */
  readonly temperature: number;
  /** 0: off. Ties at the edge are kept by lowest id. */
  readonly topK: number;
  /** 1: off. The smallest set, by descending probability then ascending id, whose sum reaches topP. */
  readonly topP: number;
  /** 0: off. Keeps tokens of at least minP × the largest probability. */
  readonly minP: number;
  /** 0 … 2^53 − 1 */
  readonly seed: number;
  /** Which of several answers to the same request (n > 1). */
  readonly choice: number;
  /** How many of the best log-probabilities a draw reports beside the drawn token's; -1: none at all. */
  readonly logprobs: number;
}

/** State of one request's sampler: its settings and the counts of its tokens. */
export interface Sampler {
  readonly settings: SamplerSettings;
  /** Tokens of the prompt; before any `accept`. */
  prompt(tokens: Int32Array): void;
  /** A verified token of the output. */
  accept(token: number): void;
  /** A bit per token of the vocabulary, 1: allowed; undefined: all are. Applies to later draws. */
  allow(mask: Uint32Array | undefined): void;
  dispose(): void;
}

export interface Draw {
  readonly row: number;
  readonly sampler: Sampler;
  /** Position of the token to draw (the row's position + 1): keys the noise. */
  readonly position: number;
  /** Tokens that count as output although the sampler has not accepted them yet: the unverified ancestors and the row itself. */
  readonly extra: readonly number[];
  /** Rejection sampling: proposals to try first. Absent: the token that plain decoding draws. */
  readonly trial?: Trial;
}

/** A distribution over few tokens; every other token has probability 0. The probabilities add up to 1. */
export interface SparseDistribution {
  readonly tokens: Int32Array;
  readonly probabilities: Float32Array;
}

/**
 * Proposals for one position, tried one after the other (recursive rejection sampling without replacement, RSD, arXiv
 * 2402.14160, section 3): with p the distribution of the draw and q what token i was drawn from, it stands where
 * u < p(token) / (tau q(token)); else p becomes the normalised max(0, p - q). Where none stands the token is drawn from
 * what is left of p. Acceptance and residual draws have noise of their own (philox.ts, Purpose).
 */
export interface Trial {
  readonly tokens: readonly number[];
  /**
   * What tokens[i] was drawn from: this distribution, after the tokens tried before it are taken out and the rest is
   * rescaled. Undefined: it was certain, q(token) = 1.
   */
  readonly from: readonly (SparseDistribution | undefined)[];
  /** 1: rejection sampling, distributed as plain decoding; below 1: relaxed, not lossless. */
  readonly tau: number;
}

/** What was drawn for one Draw. Log-probabilities are natural, of the model's distribution before any sampling setting (temperature 1). */
export interface Drawn {
  /** With a trial: one of its tokens if that one stood, else none of them. */
  readonly token: number;
  readonly logprob?: number;
  readonly top?: readonly { readonly token: number; readonly logprob: number }[];
  /**
   * Nothing could be drawn here: a logit is not finite, or no token is allowed. It counts only where the text gets to this
   * row, which for a row of an unverified proposal it may never do; `token` is -1 then.
   */
  readonly failure?: IdlmError;
}

/** Tokens that one row proposes. */
export interface Proposed {
  /** Exact: best first, after the noise of the draw to come. Rejection: in the order drawn from `from` without replacement. */
  readonly tokens: Int32Array;
  /** How sure of each the proposer is, 0 to 1: its share of the softmax over the shortlist's scores (with noise where exact verification draws with it). Not calibrated. */
  readonly confidences: Float32Array;
  /** Rejection only. */
  readonly from?: SparseDistribution;
}

/** How proposals will be verified: `rejection` stands for relaxed, too. */
export type ProposeFor = "exact" | "rejection";

/** Results of a forward; valid until the next forward of the same model, copied out by its methods. Rows are forest rows. */
export interface ForwardResult {
  /** One per Forest.draws, in order. */
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
  forward(forest: Forest, cache: KvCache): Promise<ForwardResult>;
  /** Copies the K and V of slots `from[i]` of a sequence to slots `to[i]`, in order of i. Slots are positions into `pages`. */
  moveKv(cache: KvCache, pages: Int32Array | readonly number[], from: readonly number[], to: readonly number[]): void;
  /** Milliseconds of the last forward by part, for doctor and bench; native only. */
  timings?(): Readonly<Record<string, number>>;
  dispose(): void;
}

export interface BackendInfo {
  readonly name: "native" | "reference";
  /** As in IDLM_ISA; "typescript" for the reference. */
  readonly instructionSet: "avx512vnni" | "avx2" | "scalar" | "typescript";
  readonly threads: number;
  readonly numerics: number;
}

/** Executes programs. Owns no model; each loaded model owns its weights. */
export interface Backend {
  readonly info: BackendInfo;
  /** Repacks the weights; after it resolves no view of a file is used any more. */
  load(program: Program): Promise<LoadedModel>;
}
