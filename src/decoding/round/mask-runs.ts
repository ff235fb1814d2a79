/** An anchor that verification may end at. */
export interface RunAnchor {
  /** P(verification ends here). */
  readonly ends: number;
  /** Longest run that the rounds after it can use. */
  readonly longest: number;
}

/** A proposal, as runs need it. */
export interface RunPlace {
  /** Index of the one before it; -1: it follows the pending token. */
  readonly parent: number;
  /** From 1. */
  readonly depth: number;
  /** P(it and all before it stand). */
  readonly reach: number;
}

/** The anchors of a round, the pending token first, where `remaining` tokens are left to write; no run is longer than `longest`. */
export function runAnchors(places: readonly RunPlace[], longest: number, remaining: number): RunAnchor[] {
  const ends = [1, ...places.map(({ reach }) => reach)];
  for (const { parent, reach } of places) ends[parent + 1] = (ends[parent + 1] ?? 0) - reach;
  const depths = [0, ...places.map(({ depth }) => depth)];
  // An anchor at depth d that stands leaves remaining - d - 1 tokens, one of them the next round's own.
  return depths.map((depth, i) => ({
    ends: Math.max(0, ends[i] ?? 0),
    longest: Math.max(0, Math.min(longest, remaining - depth - 2)),
  }));
}

/** A MASK row of the run off an anchor. */
export interface MaskRow {
  readonly anchor: number;
  /** Tokens. */
  readonly value: number;
}

/**
 * All MASK rows that runs off the anchors may have, the most valuable first and those of a run in order: MASK i of a run is
 * worth `worth[i - 1]` tokens where verification ends at its anchor, and nothing elsewhere.
 */
export function maskRowsByValue(anchors: readonly RunAnchor[], worth: readonly number[]): MaskRow[] {
  const rows: MaskRow[] = [];
  for (const [anchor, { ends, longest }] of anchors.entries()) {
    let value = Number.POSITIVE_INFINITY;
    for (let i = 0; i < Math.min(longest, worth.length); i++) {
      // A row is of no use without those before it in its run.
      value = Math.min(value, ends * (worth[i] ?? 0));
      if (value > 0) rows.push({ anchor, value });
    }
  }
  // Stable: a run's rows keep their order.
  return rows.sort((a, b) => b.value - a.value);
}

/** Lengths of the runs off `nAnchors` anchors that have these rows. */
export function runLengths(rows: readonly MaskRow[], nAnchors: number): number[] {
  const lengths = new Array<number>(nAnchors).fill(0);
  for (const { anchor } of rows) lengths[anchor] = (lengths[anchor] ?? 0) + 1;
  return lengths;
}
