import { priorsOf, proposerKinds } from "../proposers/registry.ts";

/** Features of a candidate that are known before verification. */
export interface Trait {
  /** The kind of its proposer. */
  readonly source: string;
  /** 0: its source's best candidate at this place. */
  readonly rank: number;
  /** As of `Proposed`. */
  readonly confidence: number;
}

/** Probability that a candidate is accepted, given that its ancestors are. */
export interface Estimate {
  readonly mean: number;
  /** Standard deviation of the posterior of the mean: about 0.15 without observations, towards 0 with many. */
  readonly deviation: number;
}

/** Upper ends of the confidence buckets: finer near 0 and 1, where a small difference matters more. */
const BUCKETS: readonly number[] = [0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.97];
/** Greater depths and ranks share a cell. */
const MAX_DEPTH = 8;
const MAX_RANK = 3;
/** Weight of the parent cell's mean, in observations. */
const STRENGTH = 6;
/** EMA windows (observations). The model's spans requests; a sequence's follows its changing content. */
const MODEL_WINDOW = 500;
const SEQUENCE_WINDOW = 40;
/** Weight of the prior that a sequence is like the others, in observations. */
const SEQUENCE_STRENGTH = 3;

interface Cell {
  /** Both decay exponentially. */
  hits: number;
  trials: number;
}

/**
 * Acceptance of all sequences of a model, with exponential decay, in a hierarchy: by source and rank, then by confidence, then
 * by depth. Each level is a Beta posterior whose prior mean is the estimate of the level above, so cells without observations
 * fall back to coarser ones. Confidence is not calibrated: a bucket's prior mean is the average of the confidence and the level
 * above.
 */
export class AcceptanceModel {
  readonly #cells = new Map<number, Cell>();

  /** `depth` from 1. */
  estimate({ source, rank, confidence }: Trait, depth: number): Estimate {
    const priors = priorsOf(source);
    const prior = priors[Math.min(rank, priors.length - 1)] ?? 0;
    const [ranked, bucketed, deep] = keysOf(source, rank, confidence, depth);
    const cell = this.#cells.get(deep);
    const bucket = this.#cells.get(bucketed);
    const ofRank = posterior(this.#cells.get(ranked), bucket, prior);
    const ofBucket = posterior(bucket, cell, (ofRank + confidence) / 2);
    const mean = posterior(cell, undefined, ofBucket);
    const trials = Math.max(cell?.trials ?? 0, (bucket?.trials ?? 0) / 2);
    return { mean, deviation: Math.sqrt((mean * (1 - mean)) / (trials + STRENGTH + 1)) };
  }

  /** Acceptance of a source's candidate at a depth, before its confidence is known. */
  ahead(source: string, rank: number, depth: number): number {
    const priors = priorsOf(source);
    const prior = priors[Math.min(rank, priors.length - 1)] ?? 0;
    const cell = this.#cells.get(aheadKey(source, rank, depth));
    const ofRank = posterior(this.#cells.get(keysOf(source, rank, 0, depth)[0]), cell, prior);
    return posterior(cell, undefined, ofRank);
  }

  /** Records whether a candidate was accepted; its ancestors were. */
  observe({ source, rank, confidence }: Trait, depth: number, accepted: boolean): void {
    for (const key of [...keysOf(source, rank, confidence, depth), aheadKey(source, rank, depth)]) {
      let cell = this.#cells.get(key);
      if (cell === undefined) {
        cell = { hits: 0, trials: 0 };
        this.#cells.set(key, cell);
      }
      count(cell, accepted, MODEL_WINDOW);
    }
  }
}

/**
 * Acceptance of one sequence: the model's acceptance with its odds multiplied by one factor for each source, estimated over a
 * short window. One factor is learned in a few rounds; cells of the sequence's own would take hundreds.
 */
export class SequenceAcceptance {
  readonly #model: AcceptanceModel;
  readonly #sources = new Map<string, { hits: number; expected: number; trials: number }>();

  constructor(model: AcceptanceModel) {
    this.#model = model;
  }

  estimate(trait: Trait, depth: number): Estimate {
    const { mean, deviation } = this.#model.estimate(trait, depth);
    const odds = this.#oddsFactor(trait.source);
    const own = withOdds(mean, odds);
    const { trials } = this.#sources.get(trait.source) ?? { trials: 0 };
    const ownDeviation = Math.sqrt((own * (1 - own)) / (trials + 2 * SEQUENCE_STRENGTH + 1));
    return { mean: own, deviation: Math.min(Math.hypot(deviation, ownDeviation), 0.5) };
  }

  ahead(source: string, rank: number, depth: number): number {
    return withOdds(this.#model.ahead(source, rank, depth), this.#oddsFactor(source));
  }

  observe(trait: Trait, depth: number, accepted: boolean): void {
    const { source } = trait;
    const sums = this.#sources.get(source) ?? { hits: 0, expected: 0, trials: 0 };
    const keep = 1 - 1 / SEQUENCE_WINDOW;
    this.#sources.set(source, {
      hits: sums.hits * keep + (accepted ? 1 : 0),
      expected: sums.expected * keep + this.#model.estimate(trait, depth).mean,
      trials: sums.trials * keep + 1,
    });
    this.#model.observe(trait, depth, accepted);
  }

  /** Decays the observations at the end of a round: after `rounds` rounds without a new one they count 1/e. */
  age(rounds: number): void {
    const keep = 1 - 1 / rounds;
    for (const sums of this.#sources.values()) {
      sums.hits *= keep;
      sums.expected *= keep;
      sums.trials *= keep;
    }
  }

  #oddsFactor(source: string): number {
    const sums = this.#sources.get(source);
    if (sums === undefined) return 1;
    const { hits, expected, trials } = sums;
    const misses = Math.max(0, trials - hits) + SEQUENCE_STRENGTH;
    const expectedMisses = Math.max(0, trials - expected) + SEQUENCE_STRENGTH;
    return ((hits + SEQUENCE_STRENGTH) * expectedMisses) / ((expected + SEQUENCE_STRENGTH) * misses);
  }
}

function withOdds(probability: number, factor: number): number {
  return (probability * factor) / (1 - probability + probability * factor);
}

/** Posterior mean of a cell without the observations of its child `part`, which are used one level below. */
function posterior(cell: Cell | undefined, part: Cell | undefined, mean: number): number {
  if (cell === undefined) return mean;
  const hits = Math.max(0, cell.hits - (part?.hits ?? 0));
  const misses = Math.max(0, cell.trials - cell.hits - (part === undefined ? 0 : part.trials - part.hits));
  return (hits + STRENGTH * mean) / (hits + misses + STRENGTH);
}

function count(cell: Cell, accepted: boolean, window: number): void {
  const keep = 1 - 1 / window;
  cell.hits = cell.hits * keep + (accepted ? 1 : 0);
  cell.trials = cell.trials * keep + 1;
}

const sources: readonly string[] = proposerKinds;
const BASE = 16;

/** Keys of a candidate's cells from coarse to fine: base-16 digits of source, rank, bucket + 1 and depth. */
function keysOf(source: string, rank: number, confidence: number, depth: number): [number, number, number] {
  const ranked = (sources.indexOf(source) * BASE + Math.min(rank, MAX_RANK)) * BASE * BASE;
  const found = BUCKETS.findIndex((end) => confidence < end);
  const bucketed = ranked + ((found < 0 ? BUCKETS.length : found) + 1) * BASE;
  return [ranked, bucketed, bucketed + Math.min(depth, MAX_DEPTH)];
}

/** Key of a cell without a confidence bucket. */
function aheadKey(source: string, rank: number, depth: number): number {
  return keysOf(source, rank, 0, depth)[0] + Math.min(depth, MAX_DEPTH);
}
