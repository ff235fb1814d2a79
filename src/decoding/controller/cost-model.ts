/** What a step of the engine had to do. */
export interface StepWork {
  /** Token rows at which a token was drawn: last pending tokens and proposals. */
  readonly drawnRows: number;
  /** Other token rows: prefill, and what is computed again after a preemption. */
  readonly otherRows: number;
  readonly maskRows: number;
  /** Sum over all rows of the cached positions that they see. */
  readonly contextRows: number;
  /** Tokens that draft models wrote. */
  readonly draftedTokens: number;
}

/** A step as the engine saw it: proposing, the forward, and digesting its results. */
export interface StepObservation {
  /** All but MASK rows. */
  readonly tokenRows: number;
  /** Of those: rows at which a token was drawn. */
  readonly drawnRows: number;
  readonly maskRows: number;
  /** Sum over all rows of the cached positions that they see. */
  readonly contextRows: number;
  /** Tokens that draft models wrote in its time. */
  readonly draftedTokens: number;
  /** Sequences that drew tokens. */
  readonly sequences: number;
  /** Tokens that they wrote. */
  readonly tokens: number;
  /** Milliseconds of the whole step. */
  readonly ms: number;
}

/** Rows at which the slope of time over rows may change; kernels go from waiting for weights to computing somewhere here. */
const KNOTS: readonly number[] = [1, 2, 4, 8, 16, 32, 64, 128];
/** Features: base, common slope, a slope of its own per segment, any MASK, MASK rows, others, context, drafted. */
const FIRST_SEGMENT = 2;
const AFTER = FIRST_SEGMENT + KNOTS.length;
const ANY_MASK = AFTER;
const MASK = AFTER + 1;
const OTHER = AFTER + 2;
const CONTEXT = AFTER + 3;
const DRAFTED = AFTER + 4;
const N = AFTER + 5;
/** Positions x rows that count as one unit of context. */
const CONTEXT_UNIT = 1000;

interface Prior {
  /** In times of a one-row step. */
  readonly mean: number;
  readonly deviation: number;
}

/** Before anything is measured: about what AVX2 and AVX-512 machines have with a 4-bit model of 135 M parameters. */
const PRIOR: readonly Prior[] = [
  { mean: 1, deviation: 0.5 },
  { mean: 0.1, deviation: 0.1 },
  ...KNOTS.map(() => ({ mean: 0, deviation: 0.07 })),
  { mean: 0.05, deviation: 0.2 },
  { mean: 0, deviation: 0.1 },
  { mean: 0.08, deviation: 0.05 },
  { mean: 0.05, deviation: 0.05 },
  { mean: 0.3, deviation: 0.3 },
];
/** Share of a prior's deviation that a weight may drift in a step: what was measured long ago is known less. */
const DRIFT = 0.003;
/** Of a step's base: most of what makes machines faster or slower from minute to minute. */
const BASE_DRIFT = 0.02;
/**
 * What a step says counts less the farther off it is, as under Student's t with so many degrees of freedom: a page fault or
 * another program says little, and the more of it the less.
 */
const DEGREES = 5;
/** Of an innovation, in deviations, what counts for the noise. */
const CLIP = 4;
/** Relative noise of a step's time before and at least, and its memory in steps. */
const FIRST_NOISE = 0.1;
const LEAST_NOISE = 0.005;
const NOISE_MEMORY = 50;
/** After so many innovations beyond a deviation on one side the machine has changed, and not for a moment. */
const SHIFT_RUN = 6;

/**
 * Time of a step by what it has to do, learned while running: linear in rows between knots, linear in the rest. A Kalman
 * filter (recursive least squares whose forgetting is a drift of the weights, so that what is never seen keeps a bounded
 * uncertainty) that trusts outliers little. Times are kept in units of the first step.
 */
export class CostModel {
  readonly #weights: Float64Array;
  readonly #covariance: Float64Array;
  /** What share of a token row's layers a MASK row passes. */
  readonly #maskShare: number;
  #unit = 0;
  #noise = FIRST_NOISE;
  /** Innovations beyond a deviation on one side, in a row; negative: faster than expected. */
  #run = 0;

  constructor(maskShare: number) {
    this.#maskShare = maskShare;
    this.#weights = Float64Array.from(PRIOR, ({ mean }) => mean);
    this.#covariance = new Float64Array(N * N);
    PRIOR.forEach(({ deviation }, i) => {
      this.#covariance[i * N + i] = deviation * deviation;
    });
  }

  /** Milliseconds; before anything was observed, in units of a one-row step. */
  predict(work: StepWork): number {
    return this.#relative(this.#features(work)) * this.#scale;
  }

  /** Milliseconds that rows take, their context and the adapter's bytes left out. */
  rowsMs(drawnRows: number, maskRows: number): number {
    const rows = Math.max(1, drawnRows + maskRows * this.#maskShare);
    let sum = this.#weight(0) + (rows - 1) * this.#weight(1) + maskRows * this.#weight(MASK);
    for (let i = 0; i < KNOTS.length; i++) {
      const inside = insideSegment(rows, i);
      if (inside <= 0) break;
      sum += inside * this.#weight(FIRST_SEGMENT + i);
    }
    return sum * this.#scale;
  }

  /** Standard deviation, in milliseconds, of what is believed about the difference of two steps' times. */
  deviationMs(a: StepWork, b: StepWork): number {
    const x = this.#features(b);
    const before = this.#features(a);
    for (let i = 0; i < N; i++) x[i] = (x[i] ?? 0) - (before[i] ?? 0);
    return Math.sqrt(Math.max(0, dot(x, this.#times(x)))) * this.#scale;
  }

  /** Of a row for each cached position that it sees. */
  get contextRowMs(): number {
    return (Math.max(0, this.#weight(CONTEXT)) * this.#scale) / CONTEXT_UNIT;
  }

  /** What the first MASK row of a step costs more than the others: the adapter's bytes. */
  get anyMaskMs(): number {
    return Math.max(0, this.#weight(ANY_MASK)) * this.#scale;
  }

  get draftedTokenMs(): number {
    return Math.max(0, this.#weight(DRAFTED)) * this.#scale;
  }

  get #scale(): number {
    return this.#unit === 0 ? 1 : this.#unit;
  }

  #weight(i: number): number {
    return this.#weights[i] ?? 0;
  }

  observe(work: StepWork, ms: number): void {
    if (!(ms > 0) || !Number.isFinite(ms)) return;
    const x = this.#features(work);
    if (this.#unit === 0) this.#unit = ms / this.#relative(x);
    this.#drift();
    const predicted = this.#relative(x);
    const gain = this.#times(x);
    const spread = dot(x, gain);
    const noise = this.#noise * predicted;
    const variance = noise * noise + Math.max(0, spread);
    const deviation = Math.sqrt(variance);
    const error = ms / this.#unit - predicted;
    this.#watch(error, deviation, predicted);
    const trust = Math.min(1, (DEGREES + 1) / (DEGREES + (error * error) / variance));
    for (let i = 0; i < N; i++) {
      const k = (trust * (gain[i] ?? 0)) / variance;
      this.#weights[i] = (this.#weights[i] ?? 0) + k * error;
      for (let j = 0; j < N; j++) {
        const at = i * N + j;
        this.#covariance[at] = (this.#covariance[at] ?? 0) - k * (gain[j] ?? 0);
      }
    }
  }

  /** The step's noise, and whether the machine has changed: then every weight may have. */
  #watch(error: number, deviation: number, predicted: number): void {
    const share = Math.min(Math.abs(error), CLIP * deviation) / predicted;
    const squared = this.#noise * this.#noise;
    this.#noise = Math.max(LEAST_NOISE, Math.sqrt(squared + (share * share - squared) / NOISE_MEMORY));
    const side = Math.abs(error) > deviation ? Math.sign(error) : 0;
    this.#run = side === 0 ? 0 : side === Math.sign(this.#run) ? this.#run + side : side;
    if (Math.abs(this.#run) < SHIFT_RUN) return;
    this.#run = 0;
    PRIOR.forEach((_, i) => {
      this.#widen(i, 0.3);
    });
  }

  #drift(): void {
    for (let i = 0; i < N; i++) this.#widen(i, i === 0 ? BASE_DRIFT : DRIFT);
  }

  /** Never beyond what was believed before anything was measured. */
  #widen(i: number, share: number): void {
    const { deviation } = PRIOR[i] as Prior;
    const at = i * N + i;
    const most = deviation * deviation;
    const now = this.#covariance[at] ?? 0;
    if (now < most) this.#covariance[at] = Math.min(most, now + (share * deviation) ** 2);
  }

  #relative(x: Float64Array): number {
    return Math.max(dot(x, this.#weights), 0.05 * Math.max(this.#weights[0] ?? 0, 0.1));
  }

  #times(x: Float64Array): Float64Array {
    // Most features of a step are 0, of a difference nearly all.
    const product = new Float64Array(N);
    for (let j = 0; j < N; j++) {
      const value = x[j] ?? 0;
      if (value === 0) continue;
      for (let i = 0; i < N; i++) product[i] = (product[i] ?? 0) + (this.#covariance[j * N + i] ?? 0) * value;
    }
    return product;
  }

  #features({ drawnRows, otherRows, maskRows, contextRows, draftedTokens }: StepWork): Float64Array {
    const x = new Float64Array(N);
    const rows = Math.max(1, drawnRows + maskRows * this.#maskShare);
    x[0] = 1;
    x[1] = rows - 1;
    for (let i = 0; i < KNOTS.length; i++) x[FIRST_SEGMENT + i] = Math.max(0, insideSegment(rows, i));
    x[ANY_MASK] = maskRows > 0 ? 1 : 0;
    x[MASK] = maskRows;
    x[OTHER] = otherRows;
    x[CONTEXT] = contextRows / CONTEXT_UNIT;
    x[DRAFTED] = draftedTokens;
    return x;
  }
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < N; i++) sum += (a[i] ?? 0) * (b[i] ?? 0);
  return sum;
}

/** Rows of so many that lie between a knot and the next one; not above 0: none. */
function insideSegment(rows: number, knot: number): number {
  return Math.min(rows, KNOTS[knot + 1] ?? Number.POSITIVE_INFINITY) - (KNOTS[knot] ?? 0);
}
