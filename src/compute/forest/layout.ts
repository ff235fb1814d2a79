import { IdlmError, key, phrase } from "../../errors.ts";
import type { Program } from "../program/program.ts";
import { type Forest, PAGE_SIZE } from "./forest.ts";

/** Most rows of a forward: enough for long prompts at once. More would need gigabytes of activations. */
export const MAX_ROWS = 1 << 16;
/** Largest position with exact angles of the rotary embedding (native/src/executor/trig.h). */
export const MAX_POSITION = 1 << 20;
/** Most listed ancestors of rows whose ancestors are not contiguous: 64 MiB of numbers. A row of a round has a few. */
const MAX_TAILS = 1 << 24;

/** Number of header fields. */
const HEADER = 8;
/** Fields of a row: what a backend needs to run it. */
export const RowField = {
  /** Token id, or -1: a MASK row. */
  token: 0,
  position: 1,
  /** Number of MASK rows from the anchor down, including itself; 0: a token row. */
  depth: 2,
  /** Layout row of a MASK row's anchor, its nearest ancestor that is a token row; -1: not in this forward. */
  anchor: 3,
  sequence: 4,
  /** Slot of its K and V: a position in the pages of its sequence. */
  slot: 5,
  /** 1: the adapter acts on it. */
  gate: 6,
  /** It attends to the slots before this one … */
  nBefore: 7,
  /** … and to these of `tails`: its other ancestors and itself, if they are not contiguous. */
  tailStart: 8,
  nTail: 9,
} as const;
const ROW_FIELDS = 10;
/** Fields of a sequence: length, start of its pages in `pages`, number of pages. */
const SEQUENCE_FIELDS = 3;

/**
 * A forest in the form that backends run. Token rows come first, then MASK rows, each in the order of the forest, so an
 * operation on token rows runs on a prefix. All numbers are in one array, which is passed to native code as it is:
 *
 * header    nRows, nTokenRows, nOutputs, nTokenOutputs, nSequences, nPages, nTails, slots used (the highest + 1)
 * rows      ROW_FIELDS numbers each (RowField)
 * order     forest row of each layout row
 * outputs   layout row of each output, token rows first
 * outputOf  output of each forest row; -1: none
 * sequences SEQUENCE_FIELDS numbers each
 * pages     of all sequences
 * tails     slots
 */
export class ForestLayout {
  readonly data: Int32Array;
  readonly nRows: number;
  readonly nTokenRows: number;
  readonly nOutputs: number;
  readonly nTokenOutputs: number;
  readonly #order: number;
  readonly #outputs: number;
  readonly #outputOf: number;
  readonly #sequences: number;
  readonly #pages: number;
  readonly #tails: number;

  constructor(data: Int32Array) {
    this.data = data;
    const [nRows = 0, nTokenRows = 0, nOutputs = 0, nTokenOutputs = 0, nSequences = 0, nPages = 0] = data;
    this.nRows = nRows;
    this.nTokenRows = nTokenRows;
    this.nOutputs = nOutputs;
    this.nTokenOutputs = nTokenOutputs;
    this.#order = HEADER + nRows * ROW_FIELDS;
    this.#outputs = this.#order + nRows;
    this.#outputOf = this.#outputs + nOutputs;
    this.#sequences = this.#outputOf + nRows;
    this.#pages = this.#sequences + nSequences * SEQUENCE_FIELDS;
    this.#tails = this.#pages + nPages;
  }

  /** A field of a layout row. */
  of(row: number, field: keyof typeof RowField): number {
    return this.data[HEADER + row * ROW_FIELDS + RowField[field]] as number;
  }

  /** Forest row of a layout row. */
  forestRow(row: number): number {
    return this.data[this.#order + row] as number;
  }

  /** Layout row of a forest row; -1: no such row. */
  rowOf(forestRow: number): number {
    return this.data.subarray(this.#order, this.#order + this.nRows).indexOf(forestRow);
  }

  /** Layout rows with hidden states and logits, token rows first. */
  get outputs(): Int32Array {
    return this.data.subarray(this.#outputs, this.#outputOf);
  }

  /** Index into `outputs` of a forest row; -1: none, or no such row. */
  outputOf(forestRow: number): number {
    const at = this.#outputOf + forestRow;
    return at >= this.#outputOf && at < this.#sequences ? (this.data[at] ?? -1) : -1;
  }

  /** Address in the cache of a slot of a sequence: page · PAGE_SIZE + offset. */
  place(sequence: number, slot: number): number {
    const at = this.#sequences + sequence * SEQUENCE_FIELDS;
    const page = this.data[this.#pages + (this.data[at + 1] as number) + Math.floor(slot / PAGE_SIZE)] as number;
    return page * PAGE_SIZE + (slot % PAGE_SIZE);
  }

  /** Slots that a layout row attends to after its first `nBefore` ones, in the order of its ancestors. */
  tail(row: number): Int32Array {
    const start = this.#tails + this.of(row, "tailStart");
    return this.data.subarray(start, start + this.of(row, "nTail"));
  }

  /** Addresses of all slots that a layout row attends to, in the order of positions, its own last. */
  visible(row: number): number[] {
    const sequence = this.of(row, "sequence");
    const places: number[] = [];
    for (let slot = 0; slot < this.of(row, "nBefore"); slot++) places.push(this.place(sequence, slot));
    for (const slot of this.tail(row)) places.push(this.place(sequence, slot));
    return places;
  }
}

/**
 * Validates a forest for a program and a cache of nPages pages, and derives its layout. @throws IdlmError "usage" with
 * the row and the problem.
 */
export function layOutForest(forest: Forest, program: Program, nPages: number): ForestLayout {
  const { tokens, positions, parents, gate, sequence, sequences, needsOutput } = forest;
  const nRows = tokens.length;
  if (nRows < 1 || nRows > MAX_ROWS) fail(`expected 1 to ${MAX_ROWS} rows, found ${nRows}`);
  checkLength("positions", positions, nRows);
  checkLength("parents", parents, nRows);
  checkLength("gate", gate, nRows);
  checkLength("sequence", sequence, nRows);
  checkLength("needsOutput", needsOutput, nRows);
  let nTokenRows = 0;
  let nOutputs = 0;
  let nTokenOutputs = 0;
  for (let row = 0; row < nRows; row++) {
    const isToken = (tokens[row] as number) >= 0;
    const hasOutput = needsOutput[row] !== 0;
    if (isToken) nTokenRows++;
    if (hasOutput) nOutputs++;
    if (isToken && hasOutput) nTokenOutputs++;
  }
  const slots = slotsOf(forest, program, nPages);
  const { nTails, inOrder, depths, anchors } = slots;
  const nSequences = sequences.length;
  const nAllPages = sequences.reduce((sum, { pages }) => sum + pages.length, 0);
  const data = new Int32Array(
    HEADER + nRows * (ROW_FIELDS + 2) + nOutputs + nSequences * SEQUENCE_FIELDS + nAllPages + nTails,
  );
  data[0] = nRows;
  data[1] = nTokenRows;
  data[2] = nOutputs;
  data[3] = nTokenOutputs;
  data[4] = nSequences;
  data[5] = nAllPages;
  data[6] = nTails;
  const order = HEADER + nRows * ROW_FIELDS;
  const outputs = order + nRows;
  const outputOf = outputs + nOutputs;
  const sequenceAt = outputOf + nRows;
  const pageAt = sequenceAt + nSequences * SEQUENCE_FIELDS;
  const tailAt = pageAt + nAllPages;
  let nextToken = 0;
  let nextMask = nTokenRows;
  let nextTokenOutput = 0;
  let nextMaskOutput = nTokenOutputs;
  let nextTail = 0;
  let nSlots = 0;
  /** Layout row of each forest row. Parents precede children, so the anchor's is known. */
  const layoutRows = new Int32Array(nRows);
  for (let row = 0; row < nRows; row++) {
    const isToken = (tokens[row] as number) >= 0;
    const layoutRow = isToken ? nextToken++ : nextMask++;
    layoutRows[row] = layoutRow;
    const at = HEADER + layoutRow * ROW_FIELDS;
    const slot = slots.slots[row] as number;
    const anchor = anchors[row] as number;
    data[at + RowField.token] = tokens[row] as number;
    data[at + RowField.position] = positions[row] as number;
    data[at + RowField.depth] = depths[row] as number;
    data[at + RowField.anchor] = anchor < 0 ? -1 : (layoutRows[anchor] as number);
    data[at + RowField.sequence] = sequence[row] as number;
    data[at + RowField.slot] = slot;
    data[at + RowField.gate] = gate[row] as number;
    data[at + RowField.tailStart] = nextTail;
    if (inOrder[row] === 1) data[at + RowField.nBefore] = slot + 1;
    else {
      data[at + RowField.nBefore] = sequences[sequence[row] as number]?.length ?? 0;
      let nTail = 0;
      for (let above = row; above >= 0; above = parents[above] as number) nTail++;
      data[at + RowField.nTail] = nTail;
      nextTail += nTail;
      let to = tailAt + nextTail;
      for (let above = row; above >= 0; above = parents[above] as number) data[--to] = slots.slots[above] as number;
    }
    data[order + layoutRow] = row;
    if (needsOutput[row] === 0) data[outputOf + row] = -1;
    else {
      const output = isToken ? nextTokenOutput++ : nextMaskOutput++;
      data[outputs + output] = layoutRow;
      data[outputOf + row] = output;
    }
    if (slot >= nSlots) nSlots = slot + 1;
  }
  data[7] = nSlots;
  let page = 0;
  for (const [i, { length, pages }] of sequences.entries()) {
    const at = sequenceAt + i * SEQUENCE_FIELDS;
    data[at] = length;
    data[at + 1] = page;
    data[at + 2] = pages.length;
    data.set(pages, pageAt + page);
    page += pages.length;
  }
  return new ForestLayout(data);
}

/**
 * Validates rows and sequences; returns the slot, depth and anchor of each row, and whether its ancestors are
 * contiguous.
 */
function slotsOf({ tokens, positions, parents, gate, sequence, sequences }: Forest, program: Program, nPages: number) {
  const nRows = tokens.length;
  for (const [i, { length, pages }] of sequences.entries()) {
    if (!Number.isInteger(length) || length < 0) fail(`sequence ${i}: length ${length} is not a whole number`);
    if (length > pages.length * PAGE_SIZE) fail(`sequence ${i}: length ${length} is beyond its ${pages.length} pages`);
    for (const page of pages) {
      if (!Number.isInteger(page) || page < 0 || page >= nPages)
        fail(`sequence ${i}: page ${page} is not in the cache`);
    }
  }
  const used = sequences.map(({ length }) => length);
  const slots = new Int32Array(nRows);
  const depths = new Int32Array(nRows);
  const anchors = new Int32Array(nRows);
  /** 1: its ancestors are at the slots just before its own, cached ones included. */
  const inOrder = new Uint8Array(nRows);
  /** Number of ancestors of a row in this forward, including itself. */
  const heights = new Int32Array(nRows);
  let nTails = 0;
  for (let row = 0; row < nRows; row++) {
    const token = tokens[row] as number;
    const parent = parents[row] as number;
    const sequenceIndex = sequence[row] as number;
    const position = positions[row] as number;
    if (token < -1 || token >= program.sizes.vocabSize) {
      fail(`row ${row}: token ${token} is not in the vocabulary of ${program.sizes.vocabSize}`);
    }
    if (parent < -1 || parent >= row) fail(`row ${row}: its parent ${parent} does not come before it`);
    if (position < 0 || position >= MAX_POSITION) fail(`row ${row}: position ${position} is out of range`);
    if ((gate[row] as number) > 1) fail(`row ${row}: gate ${gate[row]} is neither 0 nor 1`);
    const { length, pages } = sequences[sequenceIndex] ?? fail(`row ${row}: there is no sequence ${sequenceIndex}`);
    if (parent >= 0 && sequence[parent] !== sequenceIndex)
      fail(`row ${row}: its parent ${parent} is of another sequence`);
    const slot = used[sequenceIndex] as number;
    used[sequenceIndex] = slot + 1;
    if (slot >= pages.length * PAGE_SIZE) {
      fail(`row ${row}: slot ${slot} is beyond the sequence's ${pages.length} pages`);
    }
    slots[row] = slot;
    heights[row] = parent < 0 ? 1 : (heights[parent] as number) + 1;
    const follows = parent < 0 ? slot === length : inOrder[parent] === 1 && slot === (slots[parent] as number) + 1;
    inOrder[row] = follows ? 1 : 0;
    if (!follows) nTails += heights[row] as number;
    if (nTails > MAX_TAILS) fail(`row ${row}: more than ${MAX_TAILS} ancestors of rows that are not in order`);
    const isBelowMask = parent >= 0 && tokens[parent] === -1;
    if (token >= 0) {
      anchors[row] = -1;
      // The parent MASK row does not exist in the layers before the entry layer.
      if (isBelowMask && (program.mask?.entryLayer ?? 0) > 0) {
        fail(`row ${row}: a token row cannot follow a MASK row of an adapter with an entry layer`);
      }
      continue;
    }
    depths[row] = isBelowMask ? (depths[parent] as number) + 1 : 1;
    anchors[row] = isBelowMask ? (anchors[parent] as number) : parent;
    checkMaskRow(row, depths[row] as number, anchors[row] as number, program);
  }
  return { slots, depths, anchors, inOrder, nTails };
}

function checkMaskRow(row: number, depth: number, anchor: number, { mask }: Program): void {
  if (mask === undefined) {
    throw new IdlmError("usage", {
      problem: `forest: row ${row} is a MASK row, and no MASK embedding is loaded`,
      hint: phrase`Load the model with an adapter that has one (${key("adapter")})`,
    });
  }
  if (depth > mask.nDepths && !mask.sharedByDepth) {
    fail(`row ${row}: a MASK row of depth ${depth}, the adapter has ${mask.nDepths} depths`);
  }
  if (mask.entryLayer > 0 && anchor === -1) fail(`row ${row}: a MASK row's anchor must be in the same forward`);
}

function checkLength(name: string, array: ArrayLike<number>, nRows: number): void {
  if (array.length !== nRows) fail(`${name} has ${array.length} entries, tokens has ${nRows}`);
}

function fail(problem: string): never {
  throw new IdlmError("usage", { problem: `forest: ${problem}`, hint: "Correct the forest." });
}
