import { type GgufTensorToWrite, type GgufValueToWrite, writeGgufInTurns } from "../formats/gguf/gguf-writer.ts";
import { byteLength, type TensorType, typeLayout } from "../formats/tensor/tensor-type.ts";
import type { ModelConfig } from "../model/config/config.ts";
import { configToGguf, ropeTensor } from "../model/config/config-to-gguf.ts";
import { ggufName, weightShapes } from "../model/open/weight-names.ts";
import { paddedVocabulary } from "./padded-vocabulary.ts";
import { randomBlocks, Xorshift32 } from "./random-blocks.ts";
import { fileTypeOf, type TypeMixName, typeInMix } from "./type-mix.ts";

/** Random weights are generated and written in pieces of about this size. */
const PIECE_ELEMENTS = 1 << 22;
/** Standard deviation of an embedding's weights, the usual initialisation. */
const EMBEDDING_DEVIATION = 0.02;

export interface ModelToMake {
  readonly config: ModelConfig;
  /** Value of `general.name`. */
  readonly name: string;
  readonly mix: TypeMixName;
  readonly seed: number;
  readonly onBytes?: (bytesDone: number, bytesTotal: number) => void;
  readonly signal?: AbortSignal;
}

/**
 * Writes a GGUF file with the shapes and types of a model and random weights. It runs in idlm and in llama.cpp with the
 * model's speed and memory, but its output is meaningless. Equal arguments give equal bytes. Returns the bytes of weights.
 * @throws IdlmError "usage" if the vocabulary is too small; the errors of `writeGguf`; an AbortError, leaving no file.
 */
export async function makeModel(path: string, options: ModelToMake): Promise<number> {
  const { config, name, mix, seed, onBytes, signal } = options;
  const random = new Xorshift32(seed);
  let bytesDone = 0;
  let bytesTotal = 0;
  const tensors = [...tensorsOf(config, mix)].map(({ ggufName: tensorName, shape, type, deviation }) => {
    const nElements = shape.reduce((product, n) => product * n, 1);
    bytesTotal += byteLength(type, nElements) ?? 0;
    const pieces = function* (): Generator<Uint8Array> {
      // Pieces consist of whole blocks.
      const { blockSize } = typeLayout(type);
      const step = Math.max(blockSize, Math.floor(PIECE_ELEMENTS / blockSize) * blockSize);
      for (let at = 0; at < nElements; at += step) {
        const n = Math.min(step, nElements - at);
        const bytes =
          deviation === "one"
            ? new Uint8Array(new Float32Array(n).fill(1).buffer)
            : randomBlocks(type, n, deviation, random);
        yield bytes;
        bytesDone += bytes.length;
        onBytes?.(bytesDone, bytesTotal);
      }
    };
    const tensor: GgufTensorToWrite = {
      name: tensorName,
      dimensions: [...shape].reverse(),
      type,
      data: { [Symbol.iterator]: pieces },
    };
    return tensor;
  });
  const rope = ropeTensor(config);
  const metadata = metadataOf(config, name, mix);
  await writeGgufInTurns(path, { metadata, tensors: rope === undefined ? tensors : [rope, ...tensors] }, signal);
  return bytesTotal;
}

interface TensorPlan {
  readonly ggufName: string;
  readonly shape: readonly number[];
  readonly type: TensorType;
  /** Standard deviation of random weights; "one": all weights are 1 (norms). */
  readonly deviation: number | "one";
}

function* tensorsOf(config: ModelConfig, mix: TypeMixName): Generator<TensorPlan> {
  for (const [name, shape] of weightShapes(config)) {
    const stored = ggufName(name);
    const [first = 0, cols] = shape;
    if (cols === undefined) {
      const deviation = stored.endsWith(".bias") ? EMBEDDING_DEVIATION : "one";
      yield { ggufName: stored, shape: [first], type: "F32", deviation };
      continue;
    }
    const isLayer = stored.startsWith("blk.");
    const deviation = isLayer ? 1 / Math.sqrt(cols) : EMBEDDING_DEVIATION;
    yield { ggufName: stored, shape, type: typeInMix(mix, stored, cols, config), deviation };
  }
}

function metadataOf(config: ModelConfig, name: string, mix: TypeMixName): [string, GgufValueToWrite][] {
  const { architecture, vocabSize } = config;
  return [
    ["general.architecture", architecture],
    ["general.name", name],
    ["general.file_type", fileTypeOf(mix)],
    ...configToGguf(config),
    ...paddedVocabulary(vocabSize, architecture === "llama" ? "llama-bpe" : "qwen2"),
  ];
}
