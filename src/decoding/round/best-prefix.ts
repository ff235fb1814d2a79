/**
 * Length of the prefix of the items with the largest sum of values less price. Prices need not be convex: of four rows
 * that a kernel computes together the second one is nearly free, the first one is not.
 */
export function bestPrefix(values: readonly number[], price: (n: number) => number, max: number): number {
  let best = 0;
  let bestGain = 0;
  let sum = 0;
  for (let n = 1; n <= Math.min(values.length, max); n++) {
    sum += values[n - 1] ?? 0;
    const gain = sum - price(n);
    if (gain > bestGain) {
      best = n;
      bestGain = gain;
    }
  }
  return best;
}
