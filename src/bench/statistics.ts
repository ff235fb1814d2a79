/** The median of a sample (the mean of the two middle values for an even number). */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? (sorted[middle] ?? 0) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}

/** Median and quartiles. */
export interface Spread {
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

export function spread(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
  return { median: median(values), low: at(0.25), high: at(0.75) };
}

/** Median with a distribution-free confidence interval of at least 95 %. */
export interface Interval {
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

/**
 * Confidence interval of the median by the sign test, from order statistics: for nine values the second and the eighth
 * (96 %). For fewer than six values it is the whole range.
 */
export function medianInterval(values: readonly number[]): Interval {
  const sorted = [...values].sort((a, b) => a - b);
  const n = sorted.length;
  // P(at most k of n values are below the median), with k increasing while both tails together stay within 5 %.
  let cut = 0;
  let ways = 1;
  let below = 1;
  for (let k = 1; k < n / 2 && (2 * below) / 2 ** n <= 0.05; k++) {
    cut = k;
    ways = (ways * (n - k + 1)) / k;
    below += ways;
  }
  const index = Math.max(0, cut - 1);
  return { median: median(values), low: sorted[index] ?? 0, high: sorted[n - 1 - index] ?? 0 };
}
