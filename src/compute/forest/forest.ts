/** Positions of a page of the KV cache, and of a block of attention: equal, so that a block is a page. */
export const PAGE_SIZE = 16;

/** A sequence of a forest: its first `length` positions are cached in `pages`, in order. */
export interface ForestSequence {
  readonly length: number;
  /** Page numbers: position i is at offset i & 15 of pages[i >> 4]. Must cover `length` and the slots of the rows. */
  readonly pages: Int32Array | readonly number[];
}

/**
 * The rows of one forward, parents before children. A row attends to the cached positions of its sequence, its
 * ancestors in the forest, and itself. Its K and V are written at slot `length` + (number of the sequence's rows before
 * it), so a chain is in place and can be committed without a copy.
 */
export interface Forest {
  readonly sequences: readonly ForestSequence[];
  /** Token id, or -1: a MASK row. */
  readonly tokens: Int32Array;
  /** For the rotary embedding. */
  readonly positions: Int32Array;
  /** Row index of the parent; -1: follows the last cached position of its sequence. */
  readonly parents: Int32Array;
  /** 1: the adapter acts on this row. */
  readonly gate: Uint8Array;
  /** Index into `sequences`. */
  readonly sequence: Int32Array;
  /** 1: hidden state and logits of the row are computed. */
  readonly needsOutput: Uint8Array;
}
