import type { Program } from "../../src/compute/program/program.ts";

export interface FakeProgramParts {
  readonly vocabSize: number;
  /** MASK rows that can stand behind each other; 0: none. */
  readonly nDepths: number;
  readonly nExtraHeads: number;
  readonly entryLayer?: number | undefined;
  readonly draftVocabulary?: readonly number[] | undefined;
}

/** What decoding asks of a program: sizes, and what there is to propose with. It computes nothing. */
export function fakeProgram(parts: FakeProgramParts): Program {
  const { vocabSize, nDepths, nExtraHeads, entryLayer = 0, draftVocabulary } = parts;
  const mask = { embedding: new Float32Array(nDepths), nDepths, sharedByDepth: false, entryLayer, entryScale: 1 };
  return {
    buffers: {},
    weights: {},
    operations: [],
    nLayers: 2,
    hiddenSize: 1,
    vocabSize,
    nHeads: 1,
    nKvHeads: 1,
    headDim: 2,
    cacheType: "f32",
    rope: { inverseFrequencies: new Float64Array(1), attentionFactor: 1 },
    extraHeads: Array.from({ length: nExtraHeads }, () => ({ weight: new Float32Array(1), bias: new Float32Array(1) })),
    ...(nDepths > 0 && { mask }),
    ...(draftVocabulary !== undefined && { draftVocabulary: Int32Array.from(draftVocabulary) }),
  };
}
