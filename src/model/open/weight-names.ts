import type { ModelConfig } from "../config/config.ts";

/** Names of a layer's modules, [Hugging Face, GGUF], in the order of the forward. */
const layerModules: readonly (readonly [string, string])[] = [
  ["input_layernorm", "attn_norm"],
  ["self_attn.q_proj", "attn_q"],
  ["self_attn.k_proj", "attn_k"],
  ["self_attn.v_proj", "attn_v"],
  ["self_attn.q_norm", "attn_q_norm"],
  ["self_attn.k_norm", "attn_k_norm"],
  ["self_attn.o_proj", "attn_output"],
  ["post_attention_layernorm", "ffn_norm"],
  ["mlp.gate_proj", "ffn_gate"],
  ["mlp.up_proj", "ffn_up"],
  ["mlp.down_proj", "ffn_down"],
];

const modelModules: Readonly<Record<string, string>> = {
  "model.embed_tokens": "token_embd",
  "model.norm": "output_norm",
  lm_head: "output",
};

const ggufModules: ReadonlyMap<string, string> = new Map(layerModules);

/** The GGUF name of a weight, from Hugging Face's name. */
export function ggufName(name: string): string {
  const dot = name.lastIndexOf(".");
  const [module, kind] = [name.slice(0, dot), name.slice(dot)];
  const layer = /^model\.layers\.(\d+)\.(.+)$/.exec(module);
  if (layer === null) return `${modelModules[module] ?? module}${kind}`;
  return `blk.${layer[1]}.${ggufModules.get(layer[2] ?? "") ?? layer[2]}${kind}`;
}

/** All weights of a model with this config, by Hugging Face's name, with their shapes [out, in] or [n]. */
export function weightShapes(config: ModelConfig): Map<string, readonly number[]> {
  const { hiddenSize: hidden, mlpSize: mlp, headDim } = config;
  const q = config.nHeads * headDim;
  const kv = config.nKvHeads * headDim;
  const shapes = new Map<string, readonly number[]>([["model.embed_tokens.weight", [config.vocabSize, hidden]]]);
  for (let layer = 0; layer < config.nLayers; layer++) {
    const set = (module: string, ...shape: number[]) => shapes.set(`model.layers.${layer}.${module}`, shape);
    set("input_layernorm.weight", hidden);
    set("self_attn.q_proj.weight", q, hidden);
    set("self_attn.k_proj.weight", kv, hidden);
    set("self_attn.v_proj.weight", kv, hidden);
    if (config.hasQkvBias) {
      set("self_attn.q_proj.bias", q);
      set("self_attn.k_proj.bias", kv);
      set("self_attn.v_proj.bias", kv);
    }
    if (config.hasQkNorm) {
      set("self_attn.q_norm.weight", headDim);
      set("self_attn.k_norm.weight", headDim);
    }
    set("self_attn.o_proj.weight", hidden, q);
    set("post_attention_layernorm.weight", hidden);
    set("mlp.gate_proj.weight", mlp, hidden);
    set("mlp.up_proj.weight", mlp, hidden);
    set("mlp.down_proj.weight", hidden, mlp);
  }
  shapes.set("model.norm.weight", [hidden]);
  if (!config.isTied) shapes.set("lm_head.weight", [config.vocabSize, hidden]);
  return shapes;
}
