/** Positions in one page of the KV cache, and in one block of attention: the same number, so that a block is a page. */
export const PAGE_SIZE = 16;

/** A sequence that a forest's rows belong to: `length` positions are in the cache, in `pages` in order. */
export interface ForestSequence {
  readonly length: number;
  /** Page numbers; position i lies in pages[i >> 4] at i & 15. Must cover length + the highest slot used. */
  readonly pages: Int32Array | readonly number[];
}

/**
 * The rows of one forward, parents before children. A row sees the `length` cached positions of its sequence, its
 * ancestors in the forest, and itself. Row r of a sequence is written at slot `length + (number of the sequence's rows
 * before r)`, so a chain is where it must be and needs no copy to be committed.
 */
export interface Forest {
  readonly sequences: readonly ForestSequence[];
  /** Token id, or -1: a MASK row. */
  readonly tokens: Int32Array;
  /** For the rotary embedding. */
  readonly positions: Int32Array;
  /** Row index of the parent; -1: hangs off the last cached position of its sequence. */
  readonly parents: Int32Array;
  /** 1: the adapter acts on this row. */
  readonly gate: Uint8Array;
  /** Index into `sequences`. */
  readonly sequence: Int32Array;
  /** 1: the row's hidden state and logits are computed. */
  readonly needsOutput: Uint8Array;
}
