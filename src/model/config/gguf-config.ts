import { IdlmError } from "../../errors.ts";
import { toFloat32 } from "../../formats/tensor/dequantise.ts";
import { describeValue, type GgufFile } from "../../formats/gguf/gguf.ts";
import { malformed, quote } from "../../formats/files/malformed.ts";
import { ggufKeys } from "../../formats/keys/gguf-keys.ts";
import { checkKeys } from "../../formats/keys/key-table.ts";
import { floatTypes } from "../../formats/tensor/tensor-type.ts";
import {
  type ConfigFields,
  checkConfig,
  type ModelConfig,
  type RopeConfig,
  type StatedConfig,
  statedConfig,
} from "./config.ts";
import { yarnAttentionFactor } from "./rope.ts";

/** The config of a GGUF model file. @throws IdlmError "file-malformed", "unsupported" (architecture, rope type). */
export function configFromGguf(file: GgufFile): ModelConfig {
  const { path, metadata, tensors } = file;
  const architecture = metadata.get("general.architecture");
  if (typeof architecture !== "string") {
    throw malformed(path, "general.architecture", "the model's architecture", describeValue(architecture));
  }
  if (architecture !== "llama" && architecture !== "qwen2" && architecture !== "qwen3") {
    throw new IdlmError("unsupported", {
      path,
      feature: `the architecture ${quote(architecture)}`,
      hint: "Use a Llama, Qwen2 or Qwen3 model.",
    });
  }
  checkKeys(metadata, ggufKeys, path, (key) => ggufKeyName(key, architecture));
  const read = (name: string, fallback?: number): number => {
    const key = `${architecture}.${name}`;
    const value = metadata.get(key) ?? fallback;
    if (typeof value !== "number" || !Number.isFinite(value)) {
      throw malformed(path, key, "a number", describeValue(value));
    }
    return value;
  };
  const embedding = tensors.get("token_embd.weight");
  if (embedding === undefined) throw malformed(path, 'tensor "token_embd.weight"', "the embedding", "no such tensor");
  const nHeads = read("attention.head_count");
  const hiddenSize = read("embedding_length");
  const headDim = read("attention.key_length", nHeads > 0 ? Math.floor(hiddenSize / nHeads) : 0);
  const config: ModelConfig = {
    architecture,
    nLayers: read("block_count"),
    hiddenSize,
    nHeads,
    nKvHeads: read("attention.head_count_kv", nHeads),
    headDim,
    mlpSize: read("feed_forward_length"),
    vocabSize: embedding.shape[0] ?? 0,
    normEpsilon: read("attention.layer_norm_rms_epsilon"),
    hasQkvBias: tensors.has("blk.0.attn_q.bias"),
    hasQkNorm: tensors.has("blk.0.attn_q_norm.weight"),
    isTied: !tensors.has("output.weight"),
    contextLength: read("context_length", 2048),
    rope: ropeOf(file, architecture, read, headDim),
  };
  checkConfig(config, path, fieldsOf(architecture));
  const rotated = read("rope.dimension_count", headDim);
  if (rotated !== headDim || read("attention.value_length", headDim) !== headDim) {
    throw new IdlmError("unsupported", {
      path,
      feature: `a head size of ${headDim} with ${rotated} rotated dimensions or another size of values`,
      hint: "",
    });
  }
  return config;
}

/** A key's name in `ggufKeys`. */
export function ggufKeyName(key: string, architecture: string): string {
  return key.startsWith(`${architecture}.`) ? `ARCH${key.slice(architecture.length)}` : key;
}

/** Config values in a GGUF file of any architecture, unchecked. */
export function statedGgufConfig({ metadata }: GgufFile): StatedConfig {
  const architecture = metadata.get("general.architecture");
  if (typeof architecture !== "string") return {};
  return { ...statedConfig(fieldsOf(architecture), (field) => metadata.get(field)), architecture };
}

/** Metadata keys of this architecture. */
function fieldsOf(architecture: string): ConfigFields {
  const named = (key: string) => `${architecture}.${key}`;
  return {
    nLayers: named("block_count"),
    hiddenSize: named("embedding_length"),
    nHeads: named("attention.head_count"),
    nKvHeads: named("attention.head_count_kv"),
    headDim: named("attention.key_length (or embedding_length over head_count)"),
    mlpSize: named("feed_forward_length"),
    vocabSize: 'tensor "token_embd.weight", rows',
    contextLength: named("context_length"),
    normEpsilon: named("attention.layer_norm_rms_epsilon"),
    rope: {
      theta: named("rope.freq_base"),
      factor: named("rope.scaling.factor"),
      originalContext: named("rope.scaling.original_context_length"),
      betaFast: named("rope.scaling.yarn_beta_fast"),
      betaSlow: named("rope.scaling.yarn_beta_slow"),
      attentionFactor: named("rope.scaling.attn_factor"),
      divisors: 'tensor "rope_freqs.weight"',
    },
  };
}

function ropeOf(
  file: GgufFile,
  architecture: string,
  read: (key: string, fallback?: number) => number,
  headDim: number,
): RopeConfig {
  const theta = read("rope.freq_base", 10_000);
  const divisors = file.tensors.get("rope_freqs.weight");
  if (divisors !== undefined) {
    if (!floatTypes.has(divisors.type)) {
      throw malformed(file.path, 'tensor "rope_freqs.weight"', [...floatTypes].join(", "), divisors.type);
    }
    // Checked before the values are read: opening a model must read only headers.
    if (divisors.shape.length !== 1 || divisors.shape[0] !== headDim / 2) {
      const found = `[${divisors.shape.join(", ")}]`;
      throw malformed(file.path, 'tensor "rope_freqs.weight"', `shape [${headDim / 2}]`, found);
    }
  }
  // As in llama.cpp: linear by default, and a factor of 0 is 1.
  const kind = file.metadata.get(`${architecture}.rope.scaling.type`) ?? "linear";
  const factor = read("rope.scaling.factor", read("rope.scale_linear", 0)) || 1;
  const attention = read("rope.scaling.attn_factor", 1);
  if (attention !== 1 && kind !== "yarn") {
    throw new IdlmError("unsupported", {
      path: file.path,
      feature: `${architecture}.rope.scaling.attn_factor ${attention} without YaRN`,
      hint: "",
    });
  }
  if (divisors !== undefined && (kind === "none" || kind === "linear")) {
    const scale = kind === "linear" ? factor : 1;
    return { theta, kind: "divisors", divisors: toFloat32(divisors).map((divisor) => divisor * scale) };
  }
  if (divisors !== undefined) {
    throw new IdlmError("unsupported", {
      path: file.path,
      feature: `${architecture}.rope.scaling.type ${describeValue(kind)} with rope_freqs.weight`,
      hint: "",
    });
  }
  switch (kind) {
    case "none":
      return { theta, kind: "default" };
    case "linear":
      return factor === 1 ? { theta, kind: "default" } : { theta, kind, factor };
    case "yarn": {
      return {
        theta,
        kind,
        factor,
        originalContext: read("rope.scaling.original_context_length", read("context_length", 2048)),
        betaFast: read("rope.scaling.yarn_beta_fast", 32),
        betaSlow: read("rope.scaling.yarn_beta_slow", 1),
        // llama.cpp multiplies YaRN's own factor by attn_factor.
        attentionFactor: attention === 1 ? undefined : attention * yarnAttentionFactor(factor),
        truncate: true,
      };
    }
    default:
      throw new IdlmError("unsupported", {
        path: file.path,
        feature: `the rope type ${describeValue(kind)}`,
        hint: "Supported are none, linear and yarn.",
      });
  }
}
