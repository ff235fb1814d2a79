import type { GgufTensorToWrite, GgufValueToWrite } from "../../formats/gguf/gguf-writer.ts";
import type { ModelConfig } from "./config.ts";
import { ropeFrequencies, yarnAttentionFactor } from "./rope.ts";

/** A config as a GGUF file's metadata. Sliding windows have no place there. */
export function configToGguf(config: ModelConfig): [string, GgufValueToWrite][] {
  const { architecture, rope } = config;
  const named = (key: string, value: GgufValueToWrite): [string, GgufValueToWrite] => [`${architecture}.${key}`, value];
  const f32 = (value: number) => ({ type: "f32", value }) as const;
  const metadata = [
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
  if (rope.kind === "yarn") {
    metadata.push(
      named("rope.scaling.original_context_length", rope.originalContext),
      named("rope.scaling.yarn_beta_fast", f32(rope.betaFast)),
      named("rope.scaling.yarn_beta_slow", f32(rope.betaSlow)),
    );
    // llama.cpp multiplies YaRN's own factor by attn_factor.
    const factor = (rope.attentionFactor ?? 0) / yarnAttentionFactor(rope.factor);
    if (rope.attentionFactor !== undefined) metadata.push(named("rope.scaling.attn_factor", f32(factor)));
  }
  return metadata;
}

/** Llama 3.1's scaling is a tensor of divisors in GGUF. */
export function ropeTensor({ rope, headDim }: ModelConfig): GgufTensorToWrite | undefined {
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
