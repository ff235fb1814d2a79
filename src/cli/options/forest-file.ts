import { type Forest, type ForestSequence, PAGE_SIZE } from "../../compute/forest/forest.ts";
import { MAX_POSITION, MAX_ROWS } from "../../compute/forest/layout.ts";
import { kindOf, readJsonObject } from "../../formats/files/json.ts";
import { malformed } from "../../formats/files/malformed.ts";

/** Enough for MAX_ROWS rows in five indented arrays. */
const MAX_FOREST_BYTES = 32 * 2 ** 20;

/** A forest in JSON; every array has one number per row. */
export interface ForestFile {
  /** Token id, or -1: a MASK row. */
  readonly tokens: Int32Array;
  readonly positions: Int32Array;
  /** Index of the parent row, which comes before its children; -1: a root, which starts a sequence. */
  readonly parents: Int32Array;
  readonly gate: Uint8Array;
  /** For the sampler head of MASK rows: the token before the predicted one; -1: none. */
  readonly previous?: Int32Array;
}

/** Reads a forest file; other keys are ignored. Throws the errors of readJsonObject. */
export function readForestFile(path: string): ForestFile {
  const fields = new Map(
    Object.entries(readJsonObject(path, { maxBytes: MAX_FOREST_BYTES }, "--forest needs a JSON file.")),
  );
  const numbers = (field: string, max: (row: number) => number, min: number, nRows?: number): number[] => {
    const value: unknown = fields.get(field);
    if (!Array.isArray(value)) throw malformed(path, field, "an array of numbers", kindOf(value));
    if (nRows !== undefined && value.length !== nRows) {
      throw malformed(path, field, `${nRows} numbers, as many as tokens`, String(value.length));
    }
    if (value.length === 0 || value.length > MAX_ROWS) {
      throw malformed(path, field, `1 to ${MAX_ROWS} numbers`, String(value.length));
    }
    return value.map((entry: unknown, row) => {
      if (typeof entry !== "number" || !Number.isInteger(entry) || entry < min || entry > max(row)) {
        throw malformed(path, `${field}[${row}]`, `a whole number from ${min} to ${max(row)}`, kindOf(entry));
      }
      return entry;
    });
  };
  // The vocabulary is checked once the model is known.
  const anyToken = () => 2 ** 31 - 1;
  const tokens = numbers("tokens", anyToken, -1);
  const nRows = tokens.length;
  return {
    tokens: Int32Array.from(tokens),
    positions: Int32Array.from(numbers("positions", () => MAX_POSITION - 1, 0, nRows)),
    parents: Int32Array.from(numbers("parents", (row) => row - 1, -1, nRows)),
    gate: Uint8Array.from(numbers("gate", () => 1, 0, nRows)),
    ...(fields.has("previous") ? { previous: Int32Array.from(numbers("previous", anyToken, -1, nRows)) } : {}),
  };
}

/** Throws file-malformed if an id is not in the vocabulary. */
export function checkVocabulary(path: string, file: ForestFile, vocabSize: number): void {
  for (const [field, ids] of [
    ["tokens", file.tokens],
    ["previous", file.previous],
  ] as const) {
    const row = ids?.findIndex((id) => id >= vocabSize) ?? -1;
    if (row < 0) continue;
    throw malformed(path, `${field}[${row}]`, `an id below the vocabulary's ${vocabSize}`, String(ids?.[row]));
  }
}

/** The forest for a backend: every root starts a sequence with an empty cache. */
export function forestOf(file: ForestFile): { readonly forest: Forest; readonly nPages: number } {
  const nRows = file.tokens.length;
  const sequence = new Int32Array(nRows);
  const rowsOf: number[] = [];
  file.parents.forEach((parent, row) => {
    const owner = parent < 0 ? rowsOf.length : (sequence[parent] ?? 0);
    sequence[row] = owner;
    rowsOf[owner] = (rowsOf[owner] ?? 0) + 1;
  });
  let nPages = 0;
  const sequences = rowsOf.map((rows): ForestSequence => {
    const pages = Int32Array.from({ length: Math.ceil(rows / PAGE_SIZE) }, (_, i) => nPages + i);
    nPages += pages.length;
    return { length: 0, pages };
  });
  const { tokens, positions, parents, gate } = file;
  return {
    forest: { sequences, tokens, positions, parents, gate, sequence, needsOutput: new Uint8Array(nRows).fill(1) },
    nPages,
  };
}
