/** An anchor, with the probability that verification ends there. */
export interface RunAnchor {
  /** P(verification ends here). */
  readonly ends: number;
  /** Longest run that can be of use. */
  readonly longest: number;
}

/** Fields of a proposal that determine the value of runs. */
export interface RunPlace {
  /** Index of its parent; -1: the pending token. */
  readonly parent: number;
  /** From 1. */
  readonly depth: number;
  /** P(it and its ancestors are accepted). */
  readonly reach: number;
}

/**
 * Anchors of a round with `remaining` tokens left to generate, the pending token first. No run is longer than
 * `longest`.
 */
export function runAnchors(places: readonly RunPlace[], longest: number, remaining: number): RunAnchor[] {
  const ends = [1, ...places.map(({ reach }) => reach)];
  for (const { parent, reach } of places) ends[parent + 1] = (ends[parent + 1] ?? 0) - reach;
  const depths = [0, ...places.map(({ depth }) => depth)];
  // An accepted anchor at depth d leaves remaining - d - 1 tokens, and the next round draws one of them itself.
  return depths.map((depth, i) => ({
    ends: Math.max(0, ends[i] ?? 0),
    longest: Math.max(0, Math.min(longest, remaining - depth - 2)),
  }));
}

export interface MaskRow {
  readonly anchor: number;
  /** In tokens. */
  readonly value: number;
}

/**
 * All possible MASK rows by descending value, those of a run in order. MASK i of a run is worth `worth[i - 1]` tokens
 * if verification ends at its anchor, and nothing otherwise.
 */
export function maskRowsByValue(anchors: readonly RunAnchor[], worth: readonly number[]): MaskRow[] {
  const rows: MaskRow[] = [];
  for (const [anchor, { ends, longest }] of anchors.entries()) {
    let value = Number.POSITIVE_INFINITY;
    for (let i = 0; i < Math.min(longest, worth.length); i++) {
      // A row needs the rows before it in its run.
      value = Math.min(value, ends * (worth[i] ?? 0));
      if (value > 0) rows.push({ anchor, value });
    }
  }
  // A stable sort keeps the order within runs.
  return rows.sort((a, b) => b.value - a.value);
}

/** Run lengths at `nAnchors` anchors with these rows. */
export function runLengths(rows: readonly MaskRow[], nAnchors: number): number[] {
  const lengths = new Array<number>(nAnchors).fill(0);
  for (const { anchor } of rows) lengths[anchor] = (lengths[anchor] ?? 0) + 1;
  return lengths;
}
