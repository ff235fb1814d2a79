/** Features of a candidate that are known before verification. */
export interface Trait {
  /** The kind of its proposer. */
  readonly source: string;
  /** 0: its source's best candidate at this place. */
  readonly rank: number;
  /** As of `Proposed`. */
  readonly confidence: number;
}

/** Confidences are calibrated in this number of equal intervals. */
const N_INTERVALS = 10;
/** Acceptance of a source's best candidate before any is verified, and the divisor for each further rank: typical of adapters. */
const FIRST_PRIOR = 0.5;
const PRIOR_DECAY = 4;
/** Weight of a prior, in observations. */
const STRENGTH = 4;
/** EMA windows (observations): the model's spans requests, a sequence's follows its changing content. */
const MODEL_WINDOW = 500;
const SEQUENCE_WINDOW = 40;

/** Share of accepted candidates, with exponential decay. */
class Rate {
  #hits = 0;
  #trials = 0;

  /** Posterior mean, given a prior mean. */
  mean(prior: number): number {
    return (this.#hits + STRENGTH * prior) / (this.#trials + STRENGTH);
  }

  observe(isAccepted: boolean): void {
    const keep = 1 - 1 / MODEL_WINDOW;
    this.#hits = this.#hits * keep + (isAccepted ? 1 : 0);
    this.#trials = this.#trials * keep + 1;
  }
}

/** Rates of one source's candidates of one rank. */
class RankRates {
  /** All of them, the prior of the others. */
  readonly #all = new Rate();
  readonly #byConfidence = Array.from({ length: N_INTERVALS }, () => new Rate());
  readonly #byDepth = new Map<number, Rate>();
  readonly #prior: number;

  constructor(rank: number) {
    this.#prior = FIRST_PRIOR / PRIOR_DECAY ** rank;
  }

  estimate(confidence: number): number {
    return this.#ofConfidence(confidence).mean((this.#all.mean(this.#prior) + confidence) / 2);
  }

  ahead(depth: number): number {
    const ofAll = this.#all.mean(this.#prior);
    return this.#byDepth.get(depth)?.mean(ofAll) ?? ofAll;
  }

  observe(confidence: number, depth: number, isAccepted: boolean): void {
    const ofDepth = this.#byDepth.get(depth) ?? new Rate();
    this.#byDepth.set(depth, ofDepth);
    for (const rate of [this.#all, this.#ofConfidence(confidence), ofDepth]) rate.observe(isAccepted);
  }

  #ofConfidence(confidence: number): Rate {
    const interval = Math.min(N_INTERVALS - 1, Math.floor(confidence * N_INTERVALS));
    return this.#byConfidence[interval] as Rate;
  }
}

/**
 * Measured acceptance of all sequences of a model, by source and rank, of candidates by their confidence, which is not calibrated
 * itself, and by depth where the confidence is not known yet.
 */
export class AcceptanceModel {
  readonly #sources = new Map<string, RankRates[]>();

  /** Probability that a candidate is accepted, given that its ancestors are. */
  estimate({ source, rank, confidence }: Trait): number {
    return this.#rates(source, rank).estimate(confidence);
  }

  /** Acceptance of a source's candidate at a depth, from 1, before its confidence is known. */
  ahead(source: string, rank: number, depth: number): number {
    return this.#rates(source, rank).ahead(depth);
  }

  /** Records whether a candidate was accepted; its ancestors were. */
  observe({ source, rank, confidence }: Trait, depth: number, isAccepted: boolean): void {
    this.#rates(source, rank).observe(confidence, depth, isAccepted);
  }

  #rates(source: string, rank: number): RankRates {
    const ranks = this.#sources.get(source) ?? [];
    if (ranks.length === 0) this.#sources.set(source, ranks);
    while (ranks.length <= rank) ranks.push(new RankRates(ranks.length));
    return ranks[rank] as RankRates;
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
  ahead(source: string, rank: number, depth: number): number {
    return withOdds(this.#model.ahead(source, rank, depth), this.#oddsFactor(source));
  }

  observe(trait: Trait, depth: number, isAccepted: boolean): void {
    const recent = this.#recent.get(trait.source) ?? { hits: 0, expected: 0, trials: 0 };
    this.#recent.set(trait.source, recent);
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
