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
  const own = (name: string, fallback?: number): number => {
    const key = `${architecture}.${name}`;
    const value = metadata.get(key) ?? fallback;
    if (typeof value !== "number" || !Number.isFinite(value)) {
      throw malformed(path, key, "a number", describeValue(value));
    }
    return value;
  };
  const embedding = tensors.get("token_embd.weight");
  if (embedding === undefined) throw malformed(path, 'tensor "token_embd.weight"', "the embedding", "no such tensor");
  const nHeads = own("attention.head_count");
  const hiddenSize = own("embedding_length");
  const headDim = own("attention.key_length", nHeads > 0 ? Math.floor(hiddenSize / nHeads) : 0);
  const config: ModelConfig = {
    architecture,
    nLayers: own("block_count"),
    hiddenSize,
    nHeads,
    nKvHeads: own("attention.head_count_kv", nHeads),
    headDim,
    mlpSize: own("feed_forward_length"),
    vocabSize: embedding.shape[0] ?? 0,
    normEpsilon: own("attention.layer_norm_rms_epsilon"),
    hasQkvBias: tensors.has("blk.0.attn_q.bias"),
    hasQkNorm: tensors.has("blk.0.attn_q_norm.weight"),
    isTied: !tensors.has("output.weight"),
    contextLength: own("context_length", 2048),
    rope: ropeOf(file, architecture, own, headDim),
  };
  checkConfig(config, path, fieldsOf(architecture));
  const rotated = own("rope.dimension_count", headDim);
  if (rotated !== headDim || own("attention.value_length", headDim) !== headDim) {
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
  const own = (key: string) => `${architecture}.${key}`;
  return {
    nLayers: own("block_count"),
    hiddenSize: own("embedding_length"),
    nHeads: own("attention.head_count"),
    nKvHeads: own("attention.head_count_kv"),
    headDim: own("attention.key_length (or embedding_length over head_count)"),
    mlpSize: own("feed_forward_length"),
    vocabSize: 'tensor "token_embd.weight", rows',
    contextLength: own("context_length"),
    normEpsilon: own("attention.layer_norm_rms_epsilon"),
    rope: {
      theta: own("rope.freq_base"),
      factor: own("rope.scaling.factor"),
      originalContext: own("rope.scaling.original_context_length"),
      betaFast: own("rope.scaling.yarn_beta_fast"),
      betaSlow: own("rope.scaling.yarn_beta_slow"),
      attentionFactor: own("rope.scaling.attn_factor"),
      divisors: 'tensor "rope_freqs.weight"',
    },
  };
}

function ropeOf(
  file: GgufFile,
  architecture: string,
  own: (key: string, fallback?: number) => number,
  headDim: number,
): RopeConfig {
  const theta = own("rope.freq_base", 10_000);
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
  const factor = own("rope.scaling.factor", own("rope.scale_linear", 0)) || 1;
  const attention = own("rope.scaling.attn_factor", 1);
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
        originalContext: own("rope.scaling.original_context_length", own("context_length", 2048)),
        betaFast: own("rope.scaling.yarn_beta_fast", 32),
        betaSlow: own("rope.scaling.yarn_beta_slow", 1),
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
