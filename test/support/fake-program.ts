import { DRAFT_VOCABULARY, type Parameter, type Program } from "../../src/compute/program/program.ts";

export interface FakeProgramParts {
  readonly vocabSize: number;
  /** Most MASK rows in a run; 0: none. */
  readonly nDepths: number;
  readonly nExtraHeads: number;
  readonly entryLayer?: number | undefined;
  readonly draftVocabulary?: readonly number[] | undefined;
}

/** What decoding reads from a program: sizes, and sources of proposals. It has no operations. */
export function fakeProgram(parts: FakeProgramParts): Program {
  const { vocabSize, nDepths, nExtraHeads, entryLayer = 0, draftVocabulary } = parts;
  return {
    sizes: { nLayers: 2, hiddenSize: 1, vocabSize },
    cacheType: "f32",
    rope: { inverseFrequencies: new Float64Array(1), attentionFactor: 1 },
    values: {},
    parameters: draftVocabulary === undefined ? {} : { [DRAFT_VOCABULARY]: idsParameter(draftVocabulary) },
    forward: [],
    results: { hidden: "hidden", logits: "logits" },
    ...(nDepths > 0 && { mask: { nDepths, sharedByDepth: false, entryLayer } }),
    heads: { extra: Array.from({ length: nExtraHeads }, () => ({ values: {}, operations: [], logits: "logits" })) },
  };
}

function idsParameter(ids: readonly number[]): Parameter {
  const bytes = new Uint8Array(Int32Array.from(ids).buffer);
  return { rows: 1, cols: ids.length, type: "I32", bytes, origin: "adapter", isTrainable: false };
}
