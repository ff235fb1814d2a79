import { type EvaluatedRow, keptDepths } from "./evaluate.ts";

/** Rows of a forward of one sequence. */
export interface ForwardShape {
  readonly nTokens: number;
  readonly nMasks: number;
}

/** A shape of rounds: proposals, and the places of MASK runs. Length 0: plain decoding. */
export interface DecodingShape {
  readonly form: "chain" | "quadratic";
  readonly length: number;
}

/** Milliseconds of a forward of one sequence on this machine. */
export type ForwardMs = (shape: ForwardShape) => number;

/** Predicted speed of decoding with a shape. */
export interface ShapeSpeed extends DecodingShape {
  readonly tokensPerSecond: number;
  readonly tokensPerForward: number;
}

/** The fastest shape. */
export interface PredictedSpeed extends ShapeSpeed {
  /** Plain decoding on the same machine. */
  readonly plainTokensPerSecond: number;
  /** All shapes, plain decoding first. Absent in records of earlier versions. */
  readonly shapes?: readonly ShapeSpeed[];
}

/** A round with proposals, and one after a round whose MASK runs were lost with a rejected proposal. */
export function roundShapes({ form, length }: DecodingShape): {
  readonly full: ForwardShape;
  readonly cold: ForwardShape;
} {
  const anchors = form === "quadratic" ? 1 + length : 1;
  return { full: { nTokens: 1 + length, nMasks: anchors * length }, cold: { nTokens: 1, nMasks: length } };
}

/** All shapes that runs of `nMasks` allow, plain decoding first. */
export function decodingShapes(nMasks: number): DecodingShape[] {
  const shapes: DecodingShape[] = [{ form: "chain", length: 0 }];
  for (let length = 1; length <= nMasks; length++) {
    for (const form of ["chain", "quadratic"] as const) shapes.push({ form, length });
  }
  return shapes;
}

/** The shape that decodes the evaluated sequences fastest, by the rounds they would take and the times of their forwards. */
export function predictSpeed(rows: readonly EvaluatedRow[], forwardMs: ForwardMs): PredictedSpeed {
  const shapes = decodingShapes(rows[0]?.nMasks ?? 0).map((shape) => shapeSpeed(rows, shape, forwardMs));
  const [plain = { form: "chain", length: 0, tokensPerSecond: 0, tokensPerForward: 1 }] = shapes;
  const best = shapes.reduce((a, b) => (b.tokensPerSecond > a.tokensPerSecond ? b : a), plain);
  return { ...best, plainTokensPerSecond: plain.tokensPerSecond, shapes };
}

function shapeSpeed(rows: readonly EvaluatedRow[], shape: DecodingShape, forwardMs: ForwardMs): ShapeSpeed {
  const shapes = roundShapes(shape);
  if (shape.length === 0) return { ...shape, tokensPerSecond: 1000 / forwardMs(shapes.full), tokensPerForward: 1 };
  const { tokens, full, cold } = countRounds(rows, shape);
  const ms = full * forwardMs(shapes.full) + (cold === 0 ? 0 : cold * forwardMs(shapes.cold));
  return { ...shape, tokensPerSecond: (1000 * tokens) / ms, tokensPerForward: tokens / (full + cold) };
}

/**
 * Number of rounds to decode the sequences. Anchor a is the token before the pending one; with k accepted proposals of
 * its run the next anchor is a + k + 1. With shape "chain" the MASK run follows the last proposal only, so a rejection
 * is followed by a round without proposals.
 */
export function countRounds(
  rows: readonly EvaluatedRow[],
  { form, length }: DecodingShape,
): { readonly tokens: number; readonly full: number; readonly cold: number } {
  let [tokens, full, cold] = [0, 0, 0];
  for (const { anchors, nMasks, textRank } of rows) {
    let isCold = false;
    for (let i = 0; i < anchors.length; ) {
      const kept: number = isCold ? 0 : Math.min(length, keptDepths(textRank, nMasks, i));
      if (isCold) cold++;
      else full++;
      isCold = form === "chain" && !isCold && kept < length;
      tokens += kept + 1;
      i = indexAfter(anchors, i, kept + 1);
    }
  }
  return { tokens, full, cold };
}

/**
 * Index of the first anchor at least `distance` after the one at `index`; it may be in a later response of the
 * sequence.
 */
function indexAfter(anchors: Int32Array, index: number, distance: number): number {
  const from = (anchors[index] ?? 0) + distance;
  let next = index + 1;
  while (next < anchors.length && (anchors[next] ?? 0) < from) next++;
  return next;
}
