import { proposerKinds } from "../proposers/registry.ts";

/** Features of a candidate that are known before verification. */
export interface Trait {
  /** The kind of its proposer. */
  readonly source: string;
  /** 0: its source's best candidate at this place. */
  readonly rank: number;
  /** As of `Proposed`. */
  readonly confidence: number;
}

/** Confidences are calibrated in intervals of this share. */
const N_INTERVALS = 10;
/** Greater depths share a rate. */
const MAX_DEPTH = 8;
/** Acceptance of a source's best candidates before any is verified. */
const PRIOR = 0.5;
/** Weight of a prior, in observations. */
const STRENGTH = 4;
/** EMA windows (observations): the model's spans requests, a sequence's follows its changing content. */
const MODEL_WINDOW = 500;
const SEQUENCE_WINDOW = 40;

/** Share of hits, with exponential decay. */
class Rate {
  #hits = 0;
  #trials = 0;

  /** Posterior mean, given a prior mean. */
  mean(prior: number): number {
    return (this.#hits + STRENGTH * prior) / (this.#trials + STRENGTH);
  }

  observe(isHit: boolean): void {
    const keep = 1 - 1 / MODEL_WINDOW;
    this.#hits = this.#hits * keep + (isHit ? 1 : 0);
    this.#trials = this.#trials * keep + 1;
  }
}

/** Rates of one proposer's candidates. */
interface SourceRates {
  /** By confidence. */
  readonly calibration: readonly Rate[];
  /** By depth, of its best candidates. */
  readonly ahead: readonly Rate[];
}

const rates = (length: number) => Array.from({ length }, () => new Rate());

/** Measured acceptance of all sequences of a model: of each proposer's candidates by their confidence, and by their depth. */
export class AcceptanceModel {
  readonly #sources = new Map<string, SourceRates>(
    proposerKinds.map((kind) => [kind, { calibration: rates(N_INTERVALS), ahead: rates(MAX_DEPTH) }]),
  );

  /** Probability that a candidate is accepted, given that its ancestors are. */
  estimate({ source, confidence }: Trait): number {
    return this.#calibration(source, confidence)?.mean(confidence) ?? confidence;
  }

  /** Acceptance of a source's best candidate at a depth, from 1, before its confidence is known. */
  ahead(source: string, depth: number): number {
    return this.#ahead(source, depth)?.mean(PRIOR) ?? 0;
  }

  /** Records whether a candidate was accepted; its ancestors were. */
  observe({ source, rank, confidence }: Trait, depth: number, isAccepted: boolean): void {
    this.#calibration(source, confidence)?.observe(isAccepted);
    if (rank === 0) this.#ahead(source, depth)?.observe(isAccepted);
  }

  #calibration(source: string, confidence: number): Rate | undefined {
    const interval = Math.min(N_INTERVALS - 1, Math.floor(confidence * N_INTERVALS));
    return this.#sources.get(source)?.calibration[interval];
  }

  #ahead(source: string, depth: number): Rate | undefined {
    return this.#sources.get(source)?.ahead[Math.min(depth, MAX_DEPTH) - 1];
  }
}

/** Recent candidates of one source in a sequence. */
interface Recent {
  hits: number;
  /** Hits that the model's estimates predict. */
  expected: number;
  trials: number;
}

/**
 * Acceptance of one sequence: the model's, with its odds multiplied by one factor for each source, estimated over a short
 * window. One factor is learned in a few rounds; rates of the sequence's own would take hundreds.
 */
export class SequenceAcceptance {
  readonly #model: AcceptanceModel;
  readonly #recent = new Map<string, Recent>();

  constructor(model: AcceptanceModel) {
    this.#model = model;
  }

  /** As of `AcceptanceModel`. */
  estimate(trait: Trait): number {
    return withOdds(this.#model.estimate(trait), this.#oddsFactor(trait.source));
  }

  /** As of `AcceptanceModel`. */
  ahead(source: string, depth: number): number {
    return withOdds(this.#model.ahead(source, depth), this.#oddsFactor(source));
  }

  observe(trait: Trait, depth: number, isAccepted: boolean): void {
    const { source } = trait;
    const recent = this.#recent.get(source) ?? { hits: 0, expected: 0, trials: 0 };
    this.#recent.set(source, recent);
    const keep = 1 - 1 / SEQUENCE_WINDOW;
    recent.hits = recent.hits * keep + (isAccepted ? 1 : 0);
    recent.expected = recent.expected * keep + this.#model.estimate(trait);
    recent.trials = recent.trials * keep + 1;
    this.#model.observe(trait, depth, isAccepted);
  }

  /** Posterior odds over the expected odds; the prior is that the sequence is like the others. */
  #oddsFactor(source: string): number {
    const recent = this.#recent.get(source);
    if (recent === undefined) return 1;
    const { hits, expected, trials } = recent;
    const misses = Math.max(0, trials - hits) + STRENGTH;
    const expectedMisses = Math.max(0, trials - expected) + STRENGTH;
    return ((hits + STRENGTH) * expectedMisses) / ((expected + STRENGTH) * misses);
  }
}

function withOdds(probability: number, factor: number): number {
  return (probability * factor) / (1 - probability + probability * factor);
}
