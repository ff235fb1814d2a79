import { type GgufTensorToWrite, type GgufValueToWrite, writeGgufInTurns } from "../formats/gguf/gguf-writer.ts";
import { byteLength, type TensorType, typeLayout } from "../formats/tensor/tensor-type.ts";
import type { ModelConfig } from "../model/config/config.ts";
import { ropeFrequencies } from "../model/config/rope.ts";
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

/** Llama 3.1's scaling is a tensor of divisors in GGUF. */
function ropeTensor({ rope, headDim }: ModelConfig): GgufTensorToWrite | undefined {
  if (rope.kind !== "llama3" && rope.kind !== "divisors") return undefined;
  const plain = ropeFrequencies({ theta: rope.theta, kind: "default" }, headDim).inverseFrequencies;
  const scaled = ropeFrequencies(rope, headDim).inverseFrequencies;
  const divisors = Float32Array.from(plain, (frequency, i) => frequency / (scaled[i] ?? 1));
  return {
    name: "rope_freqs.weight",
    dimensions: [divisors.length],
    type: "F32",
    data: new Uint8Array(divisors.buffer),
  };
}

function metadataOf(config: ModelConfig, name: string, mix: TypeMixName): [string, GgufValueToWrite][] {
  const { architecture, rope } = config;
  const named = (key: string, value: GgufValueToWrite): [string, GgufValueToWrite] => [`${architecture}.${key}`, value];
  const f32 = (value: number) => ({ type: "f32", value }) as const;
  const metadata: [string, GgufValueToWrite][] = [
    ["general.architecture", architecture],
    ["general.name", name],
    ["general.file_type", fileTypeOf(mix)],
    named("block_count", config.nLayers),
    named("context_length", config.contextLength),
    named("embedding_length", config.hiddenSize),
    named("feed_forward_length", config.mlpSize),
    named("attention.head_count", config.nHeads),
    named("attention.head_count_kv", config.nKvHeads),
    named("attention.key_length", config.headDim),
    named("attention.value_length", config.headDim),
    named("attention.layer_norm_rms_epsilon", f32(config.normEpsilon)),
    named("rope.dimension_count", config.headDim),
    named("rope.freq_base", f32(rope.theta)),
    named("vocab_size", config.vocabSize),
  ];
  if (rope.kind === "linear" || rope.kind === "yarn") {
    metadata.push(named("rope.scaling.type", rope.kind), named("rope.scaling.factor", f32(rope.factor)));
  }
  if (rope.kind === "yarn") metadata.push(named("rope.scaling.original_context_length", rope.originalContext));
  const pre = architecture === "llama" ? "llama-bpe" : "qwen2";
  return [...metadata, ...paddedVocabulary(config.vocabSize, pre)];
}
