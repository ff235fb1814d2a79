import FlatQueue from "flatqueue";

/** Ranks are below 2 ** 22, the most tokens or merges, so that a rank combined with a position is exact in a double. */
const MAX_POSITIONS = 2 ** 30;

/** What merging asks of a vocabulary. A symbol is named by the position of its first part. */
export interface PairRanks {
  /** Rank of the pair of the symbols at `left` and `right`, which ends before `end`; -1 if it does not merge. */
  rankOf(left: number, right: number, end: number): number;
  /** The pair of `rank` became one symbol at `left`. */
  merged?(left: number, rank: number): void;
}

/**
 * Byte-pair encoding of `n` symbols: merges the pair of lowest rank, the leftmost first, until none is left. It takes
 * O(n log n) steps. Returns the position after each remaining symbol, by its own; the first symbol is at 0.
 */
export function mergePairs(n: number, pairs: PairRanks): Int32Array {
  // A linked list of symbols by position; a merged symbol keeps the position of its first part.
  const next = Int32Array.from({ length: n }, (_, i) => i + 1);
  const previous = Int32Array.from({ length: n }, (_, i) => i - 1);
  /** Rank of each symbol with the next one, -1 for none. A queue entry with another rank is stale. */
  const ranks = new Int32Array(n).fill(-1);
  // Each merge adds at most two entries, and there are fewer merges than symbols.
  const queue = new FlatQueue<number>(3 * n);
  const enqueue = (position: number) => {
    const right = next[position] as number;
    const rank = right < n ? pairs.rankOf(position, right, next[right] as number) : -1;
    ranks[position] = rank;
    if (rank >= 0) queue.push(position, rank * MAX_POSITIONS + position);
  };
  for (let position = 0; position < n; position++) enqueue(position);
  for (;;) {
    const key = queue.peekValue();
    const position = queue.pop();
    if (key === undefined || position === undefined) break;
    const rank = ranks[position] as number;
    if (rank < 0 || rank * MAX_POSITIONS + position !== key) continue;
    const right = next[position] as number;
    const after = next[right] as number;
    pairs.merged?.(position, rank);
    ranks[right] = -1;
    next[position] = after;
    if (after < n) previous[after] = position;
    const before = previous[position] as number;
    if (before >= 0) enqueue(before);
    enqueue(position);
  }
  return next;
}
