import { IdlmError } from "../../errors.ts";
import { floatTypes } from "../../formats/tensor/tensor-type.ts";
import { type Forest, PAGE_SIZE } from "../forest/forest.ts";
import type { MaskRows, Program } from "../program/program.ts";
import type { FullBatch, FullNoise, FullSequence } from "./full-step.ts";
import type { GatedBatch, GatedSequence } from "./gated-step.ts";

/** A row whose logits have a target. */
export interface TargetRow {
  /** Index into the forest's rows. */
  readonly row: number;
  /** Position of the token before the predicted one. */
  readonly position: number;
}

/** The rows of one sequence in training. */
export interface TrainingForest {
  readonly forest: Forest;
  readonly nPages: number;
}

/** Length of the MASK run at an anchor. The target of its last MASK is at most the sequence's last token. */
export function runLength(nTokens: number, anchor: number, nMasks: number): number {
  return Math.min(nMasks, nTokens - 1 - anchor);
}

/**
 * A sequence's clean tokens as one chain with gate 0, and the MASK runs at its anchors with gate 1. The target of MASK
 * j at anchor a is at row a + j of the chain.
 */
export function gatedForest(
  { tokens, anchors }: GatedSequence,
  nMasks: number,
): TrainingForest & { readonly maskRows: readonly (TargetRow & { readonly depth: number })[] } {
  const list = new RowList();
  for (const [position, token] of tokens.entries()) list.add(token, position, position - 1, 0);
  const maskRows: (TargetRow & { depth: number })[] = [];
  for (const anchor of anchors) {
    for (let depth = 1; depth <= runLength(tokens.length, anchor, nMasks); depth++) {
      const parent = depth === 1 ? anchor : list.length - 1;
      maskRows.push({ row: list.add(-1, anchor + depth, parent, 1), position: anchor + depth, depth });
      list.needsOutput(anchor + depth);
      list.needsOutput(list.length - 1);
    }
  }
  return { ...list.finish(), maskRows };
}

/** A row of full training whose logits have a target. */
export interface FullTargetRow extends TargetRow {
  /** Place in the block, from 1; 0: a clean row. */
  readonly depth: number;
  readonly target: number;
}

/** The rows of one sequence in full training. */
export interface FullForest extends TrainingForest {
  readonly nClean: number;
  readonly noisyRows: readonly FullTargetRow[];
  readonly cleanRows: readonly FullTargetRow[];
}

/**
 * A sequence's clean tokens as one chain, and for each block of a response a MASK run after the clean token before the
 * block: the attention mask of arXiv 2604.11035, without the copied prompt. Row i predicts token i + 1, so the last token
 * of a response has no MASK.
 */
export function fullForest({ tokens, isResponse }: FullSequence, noise: FullNoise | undefined): FullForest {
  const list = new RowList();
  for (const [position, token] of tokens.entries()) list.add(token, position, position - 1, 0);
  const noisyRows: FullTargetRow[] = [];
  const cleanRows: FullTargetRow[] = [];
  for (const { first, end } of responseSpans(isResponse)) {
    for (let position = Math.max(first - 1, 0); position < end - 1; position++) {
      cleanRows.push({ row: position, position, depth: 0, target: tokens[position + 1] as number });
    }
    if (noise === undefined) continue;
    const { block, maskToken } = noise;
    let depth = 0;
    for (let position = first; position < end - 1; position++) {
      depth = position % block === 0 ? 1 : depth + 1;
      const row = list.add(maskToken, position, depth === 1 ? position - 1 : list.length - 1, 0);
      noisyRows.push({ row, position, depth, target: tokens[position + 1] as number });
    }
  }
  for (const { row } of [...noisyRows, ...cleanRows]) list.needsOutput(row);
  return { ...list.finish(), nClean: tokens.length, noisyRows, cleanRows };
}

/** The responses of a sequence: from `first` up to `end`, which is excluded. */
export function responseSpans(isResponse: Uint8Array): { readonly first: number; readonly end: number }[] {
  const spans: { first: number; end: number }[] = [];
  for (let first = isResponse.indexOf(1); first >= 0; ) {
    const next = isResponse.indexOf(0, first);
    const end = next < 0 ? isResponse.length : next;
    spans.push({ first, end });
    first = isResponse.indexOf(1, end);
  }
  return spans;
}

/** @throws IdlmError "usage" if a batch does not fit the program. */
export function checkGatedBatch({ sequences, nMasks }: GatedBatch, program: Program): void {
  const { sizes } = program;
  const mask = maskRowsOf(program);
  const maxMasks = mask.sharedByDepth ? Number.MAX_SAFE_INTEGER : mask.nDepths;
  if (!isCount(nMasks) || nMasks > maxMasks)
    throw fail(`runs of ${nMasks} MASKs, the adapter has ${mask.nDepths} depths`);
  if (!sequences.some(({ anchors }) => anchors.length > 0)) throw fail("there are no anchors");
  sequences.forEach(({ tokens, anchors }, i) => {
    checkTokens(tokens, sizes.vocabSize, `sequence ${i}`);
    const wrong = anchors.find((anchor) => anchor < 0 || anchor > tokens.length - 2);
    if (wrong !== undefined) throw fail(`sequence ${i}: anchor ${wrong}, there are tokens 0 to ${tokens.length - 1}`);
  });
}

/** @throws IdlmError "usage" if a program has no MASK rows. */
export function maskRowsOf({ mask }: Program): MaskRows {
  if (mask === undefined) throw fail("gated training needs MASK embeddings");
  return mask;
}

/** @throws IdlmError "usage" if a batch does not fit the program. */
export function checkFullBatch({ sequences, noise, alpha }: FullBatch, { sizes }: Program): void {
  if (noise !== undefined) {
    checkTokens([noise.maskToken], sizes.vocabSize, "MASK");
    if (!isCount(noise.block)) throw fail(`blocks of ${noise.block} positions`);
  }
  if (alpha !== "auto" && !(alpha >= 0 && alpha < Number.POSITIVE_INFINITY)) throw fail(`alpha is ${alpha}`);
  sequences.forEach(({ tokens, isResponse }, i) => {
    checkTokens(tokens, sizes.vocabSize, `sequence ${i}`);
    if (isResponse.length !== tokens.length) throw fail(`sequence ${i}: not every token is marked`);
  });
  const hasTarget = ({ isResponse }: FullSequence) => isResponse.some((bit, i) => bit === 1 && i > 0);
  if (!sequences.some(hasTarget)) throw fail("no token is to be predicted");
  if (noise === undefined) return;
  const hasNoise = ({ isResponse }: FullSequence) =>
    responseSpans(isResponse).some(({ first, end }) => end - first > 1);
  if (!sequences.some(hasNoise))
    throw fail("no response has two tokens: a MASK in place of the first predicts the second");
}

/** @throws IdlmError "usage" if not all weights of a program can be trained. */
export function checkFullProgram({ parameters }: Program): void {
  for (const [id, { type, origin }] of Object.entries(parameters)) {
    if (origin === "adapter") throw fail("the objective full trains the model's weights: leave the adapter out");
    if (!floatTypes.has(type)) throw fail(`the objective full needs a model of float weights, and ${id} is ${type}`);
  }
}

function checkTokens(tokens: ArrayLike<number>, vocabSize: number, what: string): void {
  const wrong = Array.from(tokens).find((token) => token < 0 || token >= vocabSize);
  if (wrong !== undefined) throw fail(`${what}: token ${wrong} is not in the vocabulary of ${vocabSize}`);
}

function isCount(n: number): boolean {
  return Number.isInteger(n) && n >= 1;
}

function fail(problem: string): IdlmError {
  return new IdlmError("usage", { problem: `training batch: ${problem}`, hint: "Correct the batch." });
}

/** Rows of one sequence with an empty cache. */
class RowList {
  readonly #tokens: number[] = [];
  readonly #positions: number[] = [];
  readonly #parents: number[] = [];
  readonly #gates: number[] = [];
  readonly #outputs = new Set<number>();

  get length(): number {
    return this.#tokens.length;
  }

  add(token: number, position: number, parent: number, gate: number): number {
    this.#tokens.push(token);
    this.#positions.push(position);
    this.#parents.push(parent);
    this.#gates.push(gate);
    return this.length - 1;
  }

  needsOutput(row: number): void {
    this.#outputs.add(row);
  }

  finish(): TrainingForest {
    const nPages = Math.ceil(this.length / PAGE_SIZE);
    const needsOutput = Uint8Array.from(this.#tokens, (_, row) => (this.#outputs.has(row) ? 1 : 0));
    return {
      forest: {
        sequences: [{ length: 0, pages: Int32Array.from({ length: nPages }, (_, i) => i) }],
        tokens: Int32Array.from(this.#tokens),
        positions: Int32Array.from(this.#positions),
        parents: Int32Array.from(this.#parents),
        gate: Uint8Array.from(this.#gates),
        sequence: new Int32Array(this.length),
        needsOutput,
      },
      nPages,
    };
  }
}
