import { isDeepStrictEqual } from "node:util";
import { IdlmError } from "../../errors.ts";
import { type JsonObject, kindOf, requireObject } from "../../formats/files/json.ts";
import { malformed, quote } from "../../formats/files/malformed.ts";
import { configKeys } from "../../formats/keys/huggingface-keys.ts";
import { checkKeys } from "../../formats/keys/key-table.ts";
import {
  type ConfigFields,
  checkConfig,
  MAX_LAYERS,
  type ModelConfig,
  type RopeConfig,
  type StatedConfig,
  statedConfig,
} from "./config.ts";

/**
 * Reads a Hugging Face `config.json`, in the layout of transformers 5 (`rope_parameters`) or 4 (`rope_theta`,
 * `rope_scaling`). @throws IdlmError "file-malformed", "unsupported" (architecture, activation, window, rope type).
 */
export function configFromHuggingFace(json: JsonObject, path: string): ModelConfig {
  // Published I-DLM checkpoints are Qwen3 models under the name of the code that trained them.
  const architecture = json.model_type === "sdar" ? "qwen3" : json.model_type;
  if (architecture !== "llama" && architecture !== "qwen2" && architecture !== "qwen3") {
    throw unsupported(path, `the architecture ${kindOf(architecture)}`, "Use a Llama, Qwen2 or Qwen3 model.");
  }
  const activation = json.hidden_act ?? "silu";
  if (activation !== "silu") throw unsupported(path, `the activation ${kindOf(activation)}`, "");
  if (architecture !== "qwen2" && json.attention_bias === true) throw unsupported(path, "attention_bias", "");
  checkKeys(Object.entries(json), configKeys, path);
  const nHeads = number(json, "num_attention_heads", path);
  const hiddenSize = number(json, "hidden_size", path);
  return checkConfig(
    {
      architecture,
      nLayers: number(json, "num_hidden_layers", path),
      hiddenSize,
      nHeads,
      nKvHeads: number(json, "num_key_value_heads", path, nHeads),
      headDim: number(json, "head_dim", path, nHeads > 0 ? Math.floor(hiddenSize / nHeads) : 0),
      mlpSize: number(json, "intermediate_size", path),
      vocabSize: number(json, "vocab_size", path),
      normEpsilon: number(json, "rms_norm_eps", path, 1e-6),
      hasQkvBias: architecture === "qwen2",
      hasQkNorm: architecture === "qwen3",
      isTied: json.tie_word_embeddings === true,
      contextLength: number(json, "max_position_embeddings", path, 2048),
      rope: ropeOf(json, path),
      ...(typeof json.mask_token_id === "number" && { maskToken: maskTokenOf(json, path) }),
      ...windowsOf(json, architecture, path),
    },
    path,
    fields,
  );
}

/** Defaults of transformers' Qwen2Config and Qwen3Config. */
const SLIDING_WINDOW = 4096;
const MAX_WINDOW_LAYERS = 28;

/**
 * Positions that each layer sees, of layers that do not see all. In Qwen2 and Qwen3 `layer_types` says which these are, or
 * else the layers from `max_window_layers` on slide; none does without `use_sliding_window`.
 * @throws IdlmError "unsupported" for other types, and for windows of a Llama model.
 */
function windowsOf(json: JsonObject, architecture: string, path: string): Pick<ModelConfig, "slidingWindows"> {
  const nLayers = number(json, "num_hidden_layers", path);
  const types: unknown = json.layer_types;
  if (types != null && (!Array.isArray(types) || types.length !== nLayers)) {
    throw malformed(path, "layer_types", `an array of ${nLayers} types`, kindOf(types));
  }
  const layerTypes: readonly unknown[] | undefined = Array.isArray(types) ? types : undefined;
  const known = architecture === "llama" ? ["full_attention"] : ["full_attention", "sliding_attention"];
  const other = layerTypes?.find((type) => typeof type !== "string" || !known.includes(type));
  if (other !== undefined) throw unsupported(path, `layer_types with ${kindOf(other)}`, `Use ${known.join(" or ")}.`);
  // Only null switches it off.
  if (json.use_sliding_window !== true || json.sliding_window === null) return {};
  const first = json.max_window_layers === undefined ? MAX_WINDOW_LAYERS : number(json, "max_window_layers", path);
  const isSliding = Array.from({ length: Math.min(nLayers, MAX_LAYERS) }, (_, layer) =>
    layerTypes === undefined ? layer >= first : layerTypes[layer] === "sliding_attention",
  );
  if (!isSliding.includes(true)) return {};
  if (architecture === "llama") throw unsupported(path, "sliding_window of a Llama model", "");
  const window = number(json, "sliding_window", path, SLIDING_WINDOW);
  if (!Number.isInteger(window) || window < 1) throw malformed(path, "sliding_window", "a whole number from 1", window);
  return { slidingWindows: isSliding.map((slides) => (slides ? window : undefined)) };
}

function maskTokenOf(json: JsonObject, path: string): number {
  const [token, vocabSize] = [number(json, "mask_token_id", path), number(json, "vocab_size", path)];
  if (!Number.isInteger(token) || token < 0 || token >= vocabSize) {
    throw malformed(path, "mask_token_id", `an id from 0 below ${vocabSize}`, kindOf(json.mask_token_id));
  }
  return token;
}

/** Config values in a `config.json` of any architecture, unchecked. */
export function statedHuggingFaceConfig(json: JsonObject): StatedConfig {
  const { model_type: architecture } = json;
  return {
    ...statedConfig(fields, (field) => json[field]),
    ...(typeof architecture === "string" ? { architecture } : {}),
  };
}

const fields: ConfigFields = {
  nLayers: "num_hidden_layers",
  hiddenSize: "hidden_size",
  nHeads: "num_attention_heads",
  nKvHeads: "num_key_value_heads",
  headDim: "head_dim (or hidden_size over num_attention_heads)",
  mlpSize: "intermediate_size",
  vocabSize: "vocab_size",
  contextLength: "max_position_embeddings",
  normEpsilon: "rms_norm_eps",
  rope: {
    theta: "rope_theta",
    factor: "rope_parameters.factor",
    lowFrequencyFactor: "rope_parameters.low_freq_factor",
    highFrequencyFactor: "rope_parameters.high_freq_factor",
    originalContext: "rope_parameters.original_max_position_embeddings",
    betaFast: "rope_parameters.beta_fast",
    betaSlow: "rope_parameters.beta_slow",
    attentionFactor: "rope_parameters.attention_factor",
  },
};

/** Keys of `rope_parameters` or `rope_scaling`; each counts for some types, and is ignored for others as in transformers. */
const ropeKeys: ReadonlySet<string> = new Set(
  (
    "rope_type type rope_theta factor partial_rotary_factor original_max_position_embeddings low_freq_factor " +
    "high_freq_factor beta_fast beta_slow attention_factor mscale mscale_all_dim truncate finetuned"
  ).split(" "),
);

function ropeOf(json: JsonObject, path: string): RopeConfig {
  const newer = json.rope_parameters;
  if (newer != null && json.rope_scaling != null && !isDeepStrictEqual(newer, json.rope_scaling)) {
    throw unsupported(path, "rope_parameters beside another rope_scaling", "Leave out one of them.");
  }
  const scaling = newer ?? json.rope_scaling ?? {};
  const parameters = requireObject(scaling, path, newer == null ? "rope_scaling" : "rope_parameters");
  const theta = number(parameters, "rope_theta", path, number(json, "rope_theta", path, 10_000));
  const rotated = parameters.partial_rotary_factor ?? json.partial_rotary_factor ?? 1;
  if (rotated !== 1) throw unsupported(path, `partial_rotary_factor ${kindOf(rotated)}`, "");
  const stated = parameters.rope_type ?? parameters.type;
  if (stated == null && parameters.factor != null && parameters.factor !== 1) {
    throw unsupported(path, "a factor of the rotary embedding without a rope_type", "Name its rope_type.");
  }
  const unknown = Object.keys(parameters).find((key) => !ropeKeys.has(key) && parameters[key] != null);
  if (unknown !== undefined) {
    throw unsupported(path, `${newer == null ? "rope_scaling" : "rope_parameters"}.${quote(unknown)}`, "");
  }
  const kind = stated ?? "default";
  const context = () =>
    number(
      parameters,
      "original_max_position_embeddings",
      path,
      number(json, "original_max_position_embeddings", path, number(json, "max_position_embeddings", path, 2048)),
    );
  switch (kind) {
    case "default":
      return { theta, kind: "default" };
    case "linear":
      return { theta, kind: "linear", factor: number(parameters, "factor", path) };
    case "llama3":
      return {
        theta,
        kind: "llama3",
        factor: number(parameters, "factor", path),
        lowFrequencyFactor: number(parameters, "low_freq_factor", path),
        highFrequencyFactor: number(parameters, "high_freq_factor", path),
        originalContext: context(),
      };
    case "yarn": {
      for (const key of ["mscale", "mscale_all_dim"]) {
        if (parameters[key] != null) throw unsupported(path, `YaRN's ${key}`, "");
      }
      const attention = parameters.attention_factor;
      return {
        theta,
        kind: "yarn",
        factor: number(parameters, "factor", path),
        originalContext: context(),
        betaFast: number(parameters, "beta_fast", path, 32),
        betaSlow: number(parameters, "beta_slow", path, 1),
        attentionFactor: attention == null ? undefined : number(parameters, "attention_factor", path),
        truncate: parameters.truncate !== false,
      };
    }
    default:
      throw unsupported(path, `the rope type ${kindOf(kind)}`, "Supported are default, linear, llama3 and yarn.");
  }
}

function number(json: JsonObject, key: string, path: string, fallback?: number): number {
  const value = json[key] ?? fallback;
  if (typeof value !== "number" || !Number.isFinite(value)) throw malformed(path, key, "a number", kindOf(value));
  return value;
}

function unsupported(path: string, feature: string, hint: string): IdlmError {
  return new IdlmError("unsupported", { path, feature, hint });
}
