import { IdlmError } from "../../errors.ts";
import { type Forest, PAGE_SIZE } from "./forest.ts";
import type { Program } from "../program/program.ts";

/** Rows of one forward: enough for long prompts in one piece; beyond it scratch memory would be gigabytes. */
export const MAX_ROWS = 1 << 16;
/** Positions up to which the rotary embedding's angles are exact (see native/src/trig.h). */
export const MAX_POSITION = 1 << 20;

/**
 * Checks a forest against a program and a cache, for every backend alike.
 * @throws IdlmError "usage" naming the row and what is wrong with it.
 */
export function validateForest(forest: Forest, program: Program, nPages: number): void {
  const { tokens, positions, parents, gate, sequence, sequences, needsOutput } = forest;
  const nRows = tokens.length;
  const fail = (problem: string): never => {
    throw new IdlmError("usage", { problem: `forest: ${problem}`, hint: "Correct the forest" });
  };
  if (nRows < 1 || nRows > MAX_ROWS) fail(`expected 1 to ${MAX_ROWS} rows, found ${nRows}`);
  for (const [name, array] of Object.entries({ positions, parents, gate, sequence, needsOutput })) {
    if (array.length !== nRows) fail(`${name} has ${array.length} entries, tokens has ${nRows}`);
  }
  sequences.forEach(({ length, pages }, i) => {
    if (!Number.isInteger(length) || length < 0) fail(`sequence ${i}: length ${length} is not a whole number`);
    for (const page of pages) {
      if (!Number.isInteger(page) || page < 0 || page >= nPages)
        fail(`sequence ${i}: page ${page} is not in the cache`);
    }
  });
  const used = sequences.map(({ length }) => length);
  // Parents are checked row by row, before what is derived from them is read.
  const derived = parents.every((parent, row) => parent < row) ? maskDepths(forest) : undefined;
  for (let row = 0; row < nRows; row++) {
    const token = tokens[row] as number;
    const parent = parents[row] as number;
    const own = sequence[row] as number;
    const position = positions[row] as number;
    if (token < -1 || token >= program.vocabSize) {
      fail(`row ${row}: token ${token} is not in the vocabulary of ${program.vocabSize}`);
    }
    if (parent < -1 || parent >= row) fail(`row ${row}: its parent ${parent} does not come before it`);
    if (position < 0 || position >= MAX_POSITION) fail(`row ${row}: position ${position} is out of range`);
    if ((gate[row] as number) > 1) fail(`row ${row}: gate ${gate[row]} is neither 0 nor 1`);
    const { pages } = sequences[own] ?? fail(`row ${row}: there is no sequence ${own}`);
    if (parent >= 0 && sequence[parent] !== own) fail(`row ${row}: its parent ${parent} is of another sequence`);
    const slot = used[own] as number;
    used[own] = slot + 1;
    if (slot >= pages.length * PAGE_SIZE)
      fail(`row ${row}: slot ${slot} is beyond the sequence's ${pages.length} pages`);
    if (token >= 0) {
      // Before the entry layer the MASK row that it would see does not exist.
      if (parent >= 0 && tokens[parent] === -1 && (program.mask?.entryLayer ?? 0) > 0) {
        fail(`row ${row}: a token row cannot follow a MASK row of an adapter with an entry layer`);
      }
      continue;
    }
    const { mask } = program;
    if (mask === undefined) {
      throw new IdlmError("usage", {
        problem: `forest: row ${row} is a MASK row, and no MASK embedding is loaded`,
        hint: "Name an adapter that has one (--adapter), or --mask-embedding",
      });
    }
    const depth = derived?.depths[row] ?? 0;
    if (depth > mask.nDepths && !mask.sharedByDepth) {
      fail(`row ${row}: a MASK row of depth ${depth}, the adapter has ${mask.nDepths} depths`);
    }
    if (mask.entryLayer > 0 && derived?.anchors[row] === -1)
      fail(`row ${row}: a MASK row's anchor must be in the same forward`);
  }
}

/** Depth of each MASK row (MASK rows from its anchor down, itself included; 0 for token rows), and its anchor's row or −1. */
export function maskDepths(forest: Forest): { readonly depths: Int32Array; readonly anchors: Int32Array } {
  const { tokens, parents } = forest;
  const depths = new Int32Array(tokens.length);
  const anchors = new Int32Array(tokens.length).fill(-1);
  for (let row = 0; row < tokens.length; row++) {
    if (tokens[row] !== -1) continue;
    const parent = parents[row] as number;
    const isBelow = parent >= 0 && tokens[parent] === -1;
    depths[row] = isBelow ? (depths[parent] as number) + 1 : 1;
    anchors[row] = isBelow ? (anchors[parent] as number) : parent;
  }
  return { depths, anchors };
}
