/** Consecutive anchors: from `first` up to `end`, which is excluded. */
export interface AnchorSpan {
  readonly first: number;
  readonly end: number;
}

/**
 * Anchors of full runs of `nMasks`: the last token before a response and the tokens of the response. MASK j at anchor a
 * predicts token a + j + 1, which must belong to the same response. `isResponse` is by token.
 */
export function anchorSpans(isResponse: Uint8Array, nMasks: number): AnchorSpan[] {
  const spans: AnchorSpan[] = [];
  for (let start = isResponse.indexOf(1); start >= 0; ) {
    const next = isResponse.indexOf(0, start);
    const end = next < 0 ? isResponse.length : next;
    // Nothing comes before a response that starts a sequence.
    const span = { first: Math.max(0, start - 1), end: end - 1 - nMasks };
    if (span.end > span.first) spans.push(span);
    start = isResponse.indexOf(1, end);
  }
  return spans;
}

export function countAnchors(spans: readonly AnchorSpan[]): number {
  return spans.reduce((sum, { first, end }) => sum + end - first, 0);
}

/** Anchor number `index` of all. */
export function anchorAt(spans: readonly AnchorSpan[], index: number): number {
  let left = index;
  for (const { first, end } of spans) {
    if (left < end - first) return first + left;
    left -= end - first;
  }
  throw new RangeError(`anchor ${index} of ${countAnchors(spans)}`);
}

/** The first anchor at or after a position; undefined: none. */
export function anchorFrom(spans: readonly AnchorSpan[], position: number): number | undefined {
  const span = spans.find(({ end }) => end > position);
  return span && Math.max(span.first, position);
}
