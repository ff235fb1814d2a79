import { IdlmError } from "../errors.ts";
import { toFloat32 } from "../formats/dequantise.ts";
import type { GgufFile } from "../formats/gguf.ts";
import { checkConfig, type ModelConfig, type RopeConfig } from "./config.ts";
import { yarnAttentionFactor } from "./rope.ts";

/** The config of a GGUF model file. @throws IdlmError "file-malformed", "unsupported" (architecture, rope type). */
export function configFromGguf(file: GgufFile): ModelConfig {
  const { path, metadata, tensors } = file;
  const architecture = metadata.get("general.architecture");
  if (architecture === undefined) {
    throw new IdlmError("file-malformed", {
      path,
      field: "general.architecture",
      expected: "the model's architecture",
      found: "nothing",
    });
  }
  if (architecture !== "llama" && architecture !== "qwen2" && architecture !== "qwen3") {
    throw new IdlmError("unsupported", {
      path,
      feature: `the architecture ${JSON.stringify(architecture)}`,
      hint: "Use a Llama, Qwen2 or Qwen3 model.",
    });
  }
  const number = (key: string, fallback?: number): number => {
    const value = metadata.get(key) ?? fallback;
    if (typeof value !== "number" || !Number.isFinite(value)) {
      const found = value === undefined ? "nothing" : typeof value;
      throw new IdlmError("file-malformed", { path, field: key, expected: "a number", found });
    }
    return value;
  };
  const own = (key: string, fallback?: number) => number(`${architecture}.${key}`, fallback);
  const nHeads = own("attention.head_count");
  if (nHeads < 1) {
    const field = `${architecture}.attention.head_count`;
    throw new IdlmError("file-malformed", { path, field, expected: "a number of heads", found: nHeads });
  }
  const hiddenSize = own("embedding_length");
  const headDim = own("attention.key_length", Math.floor(hiddenSize / nHeads));
  const [vocabSize = 0] = tensors.get("token_embd.weight")?.shape ?? [];
  const rotated = own("rope.dimension_count", headDim);
  if (rotated !== headDim || own("attention.value_length", headDim) !== headDim) {
    throw new IdlmError("unsupported", {
      path,
      feature: `a head of ${headDim} that rotates ${rotated} dimensions or has values of another size`,
      hint: "",
    });
  }
  return checkConfig(
    {
      architecture,
      nLayers: own("block_count"),
      hiddenSize,
      nHeads,
      nKvHeads: own("attention.head_count_kv", nHeads),
      headDim,
      mlpSize: own("feed_forward_length"),
      vocabSize,
      normEpsilon: own("attention.layer_norm_rms_epsilon"),
      hasQkvBias: tensors.has("blk.0.attn_q.bias"),
      hasQkNorm: tensors.has("blk.0.attn_q_norm.weight"),
      isTied: !tensors.has("output.weight"),
      contextLength: own("context_length", 2048),
      rope: ropeOf(file, architecture, own),
    },
    path,
  );
}

function ropeOf(file: GgufFile, architecture: string, own: (key: string, fallback?: number) => number): RopeConfig {
  const theta = own("rope.freq_base", 10_000);
  const divisors = file.tensors.get("rope_freqs.weight");
  if (divisors !== undefined) return { theta, kind: "divisors", divisors: toFloat32(divisors) };
  const legacy = own("rope.scale_linear", 0);
  const kind = file.metadata.get(`${architecture}.rope.scaling.type`) ?? (legacy > 0 ? "linear" : "none");
  const factor = () => own("rope.scaling.factor", legacy > 0 ? legacy : undefined);
  switch (kind) {
    case "none":
      return { theta, kind: "default" };
    case "linear":
      return { theta, kind, factor: factor() };
    case "yarn": {
      const attention = own("rope.scaling.attn_factor", 1);
      return {
        theta,
        kind,
        factor: factor(),
        originalContext: own("rope.scaling.original_context_length", own("context_length", 2048)),
        betaFast: own("rope.scaling.yarn_beta_fast", 32),
        betaSlow: own("rope.scaling.yarn_beta_slow", 1),
        // llama.cpp multiplies YaRN's own factor by attn_factor.
        attentionFactor: attention === 1 ? undefined : attention * yarnAttentionFactor(factor()),
        truncate: true,
      };
    }
    default:
      throw new IdlmError("unsupported", {
        path: file.path,
        feature: `the rope type ${JSON.stringify(kind)}`,
        hint: "Known are none, linear and yarn.",
      });
  }
}
