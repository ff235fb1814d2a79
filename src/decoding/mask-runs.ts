import { bestPrefix } from "./best-prefix.ts";

/** An anchor that verification may end at. */
export interface RunAnchor {
  /** P(verification ends here). */
  readonly ends: number;
  /** Longest run that the rounds after it can use. */
  readonly longest: number;
}

/**
 * Lengths of the MASK runs off the anchors: MASK i of a run is worth `worth[i - 1]` tokens where verification ends at its
 * anchor, and nothing elsewhere. The rows worth most are taken, at most `most`, as many as pay their price.
 */
export function chooseRuns(
  anchors: readonly RunAnchor[],
  worth: readonly number[],
  price: (nRows: number) => number,
  most: number,
): { readonly lengths: number[] /** What the rows are worth beyond their price. */; readonly surplus: number } {
  const rows: { readonly anchor: number; readonly value: number }[] = [];
  for (const [anchor, { ends, longest }] of anchors.entries()) {
    let value = Number.POSITIVE_INFINITY;
    for (let i = 0; i < Math.min(longest, worth.length); i++) {
      // A row is of no use without those before it in its run.
      value = Math.min(value, ends * (worth[i] ?? 0));
      if (value > 0) rows.push({ anchor, value });
    }
  }
  // Stable: a run's rows keep their order.
  rows.sort((a, b) => b.value - a.value);
  const values = rows.map(({ value }) => value);
  const lengths = anchors.map(() => 0);
  const nRows = bestPrefix(values, price, most);
  let surplus = nRows === 0 ? 0 : -price(nRows);
  for (const { anchor, value } of rows.slice(0, nRows)) {
    lengths[anchor] = (lengths[anchor] ?? 0) + 1;
    surplus += value;
  }
  return { lengths, surplus };
}
