import { priorsOf, proposerKinds } from "../proposers/registry.ts";

/** What is known of a candidate before it is verified. */
export interface Trait {
  /** The kind of its proposer. */
  readonly source: string;
  /** 0: its source's first choice there. */
  readonly rank: number;
  /** As of `Proposed`. */
  readonly confidence: number;
}

/** How likely a candidate stands, given that the tokens before it do. */
export interface Estimate {
  readonly mean: number;
  /** Standard deviation of what is believed about the mean: about 0.15 where nothing was observed, 0 after ever more. */
  readonly deviation: number;
}

/** Upper ends of the buckets of confidence, finer at both ends where a share says more. */
const BUCKETS: readonly number[] = [0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.97];
/** Depths and ranks beyond share a cell. */
const MAX_DEPTH = 8;
const MAX_RANK = 3;
/** Observations that a cell's parent counts for. */
const STRENGTH = 6;
/** Observations after which an old one counts 1/e. The model's memory spans requests; a sequence's follows its text. */
const MODEL_MEMORY = 500;
const SEQUENCE_MEMORY = 40;
/** Observations that "this text is like the others" counts for. */
const SEQUENCE_STRENGTH = 3;

interface Cell {
  /** Both with decay. */
  hits: number;
  trials: number;
}

/**
 * Acceptance measured with decay, for all sequences of a model, by source and rank, then by confidence, then by depth: each
 * level is a Beta posterior whose prior mean is the level's above, so that what was never seen is judged by what resembles
 * it. Confidence is not calibrated; it is the prior of its bucket in equal parts with the level above.
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

  /** Of a source's best candidate at a depth, before its confidence is known. */
  ahead(source: string, rank: number, depth: number): number {
    const priors = priorsOf(source);
    const prior = priors[Math.min(rank, priors.length - 1)] ?? 0;
    const cell = this.#cells.get(aheadKey(source, rank, depth));
    const ofRank = posterior(this.#cells.get(keysOf(source, rank, 0, depth)[0]), cell, prior);
    return posterior(cell, undefined, ofRank);
  }

  /** A candidate whose parent stood was looked at: whether it stood. */
  observe({ source, rank, confidence }: Trait, depth: number, stood: boolean): void {
    for (const key of [...keysOf(source, rank, confidence, depth), aheadKey(source, rank, depth)]) {
      let cell = this.#cells.get(key);
      if (cell === undefined) {
        cell = { hits: 0, trials: 0 };
        this.#cells.set(key, cell);
      }
      count(cell, stood, MODEL_MEMORY);
    }
  }
}

/**
 * A sequence's own view: for each source how much oftener (in odds) its proposals stand here than the model's acceptance
 * says, measured with a short memory. One number for each source is learned from a few rounds, where cells of a sequence's
 * own would take hundreds.
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

  observe(trait: Trait, depth: number, stood: boolean): void {
    const { source } = trait;
    const sums = this.#sources.get(source) ?? { hits: 0, expected: 0, trials: 0 };
    const keep = 1 - 1 / SEQUENCE_MEMORY;
    this.#sources.set(source, {
      hits: sums.hits * keep + (stood ? 1 : 0),
      expected: sums.expected * keep + this.#model.estimate(trait, depth).mean,
      trials: sums.trials * keep + 1,
    });
    this.#model.observe(trait, depth, stood);
  }

  /** A round has gone by: in `rounds` rounds without an observation what is known of the text counts 1/e. */
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

/** Of what a cell has seen and its child (`part`), which counts for itself, has not. */
function posterior(cell: Cell | undefined, part: Cell | undefined, mean: number): number {
  if (cell === undefined) return mean;
  const hits = Math.max(0, cell.hits - (part?.hits ?? 0));
  const misses = Math.max(0, cell.trials - cell.hits - (part === undefined ? 0 : part.trials - part.hits));
  return (hits + STRENGTH * mean) / (hits + misses + STRENGTH);
}

function count(cell: Cell, stood: boolean, memory: number): void {
  const keep = 1 - 1 / memory;
  cell.hits = cell.hits * keep + (stood ? 1 : 0);
  cell.trials = cell.trials * keep + 1;
}

const sources: readonly string[] = proposerKinds;
const BASE = 16;

/** Keys of a candidate's cells from coarse to fine; digits of base 16: source, rank, bucket + 1, depth. */
function keysOf(source: string, rank: number, confidence: number, depth: number): [number, number, number] {
  const ranked = (sources.indexOf(source) * BASE + Math.min(rank, MAX_RANK)) * BASE * BASE;
  const found = BUCKETS.findIndex((end) => confidence < end);
  const bucketed = ranked + ((found < 0 ? BUCKETS.length : found) + 1) * BASE;
  return [ranked, bucketed, bucketed + Math.min(depth, MAX_DEPTH)];
}

/** Without a bucket. */
function aheadKey(source: string, rank: number, depth: number): number {
  return keysOf(source, rank, 0, depth)[0] + Math.min(depth, MAX_DEPTH);
}
