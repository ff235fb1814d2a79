import { type Forest, type ForestSequence, PAGE_SIZE } from "../compute/forest/forest.ts";
import type { LoadedModel } from "../compute/loaded-model.ts";
import { draftVocabularyOf } from "../compute/program/program.ts";
import { IdlmError } from "../errors.ts";
import type { ForestInput, ForwardOutput } from "./types.ts";

/**
 * Runs a forest on a temporary KV cache and copies hidden states and logits. @throws IdlmError "usage" if the forest is
 * invalid.
 */
export async function runForest(model: LoadedModel, input: ForestInput): Promise<ForwardOutput> {
  const { forest, nPages } = forestOf(input);
  const draftVocabulary = draftVocabularyOf(model.program);
  const cache = model.createCache(nPages);
  try {
    const result = await model.forward(forest, cache);
    const rows = [...forest.tokens.keys()];
    const logits = rows.map((row) => {
      const previous = input.previous?.[row] ?? -1;
      const isHeaded = forest.tokens[row] === -1 && previous >= 0;
      return isHeaded ? result.draftLogits({ kind: "mask", row, previous }) : result.logits(row);
    });
    return {
      hidden: rows.map((row) => result.hidden(row)),
      logits,
      ...(draftVocabulary === undefined ? {} : { draftVocabulary }),
    };
  } finally {
    cache.dispose();
  }
}

function forestOf(input: ForestInput): { readonly forest: Forest; readonly nPages: number } {
  const tokens = wholeNumbers(input.tokens, "tokens");
  const nRows = tokens.length;
  const parents = wholeNumbers(input.parents, "parents", nRows);
  const positions = wholeNumbers(input.positions, "positions", nRows);
  const gate =
    input.gate === undefined ? tokens.map((token) => (token === -1 ? 1 : 0)) : wholeNumbers(input.gate, "gate", nRows);
  const sequence = new Int32Array(nRows);
  const rowsOf: number[] = [];
  parents.forEach((parent, row) => {
    const root = parent < 0 || parent >= row ? rowsOf.length : (sequence[parent] ?? 0);
    sequence[row] = root;
    rowsOf[root] = (rowsOf[root] ?? 0) + 1;
  });
  let nPages = 0;
  const sequences = rowsOf.map((n): ForestSequence => {
    const pages = Array.from({ length: Math.ceil(n / PAGE_SIZE) }, () => nPages++);
    return { length: 0, pages };
  });
  const needsOutput = new Uint8Array(nRows).fill(1);
  return {
    forest: { sequences, tokens, positions, parents, gate: Uint8Array.from(gate), sequence, needsOutput },
    nPages,
  };
}

function wholeNumbers(values: ArrayLike<number> | undefined, name: string, length?: number): Int32Array {
  const array = Array.from(values ?? []);
  const fail = (problem: string) =>
    new IdlmError("usage", { problem: `forest: ${name}: ${problem}`, hint: "Correct the forest." });
  if (array.length === 0 || (length !== undefined && array.length !== length)) {
    throw fail(`expected ${length ?? "at least one"} numbers, found ${array.length}`);
  }
  const wrong = array.find((value) => (value | 0) !== value);
  if (wrong !== undefined) throw fail(`expected whole numbers, found ${String(wrong)}`);
  return Int32Array.from(array);
}
