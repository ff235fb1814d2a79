import type { RowSet } from "../compute/program/operations.ts";
import { DRAFT_VOCABULARY, type Program } from "../compute/program/program.ts";
import { floatTypes } from "../formats/tensor/tensor-type.ts";
import { checkAdapter, type CompileOptions } from "./compile/check-adapter.ts";
import { headsOf } from "./compile/heads.ts";
import { ListBuilder } from "./compile/list-builder.ts";
import { adapterParameters, adapterParametersOf, baseParameters } from "./compile/parameters.ts";
import { ropeFrequencies } from "./config/rope.ts";
import type { OpenedModel } from "./open/open-model.ts";

export type { CompileOptions } from "./compile/check-adapter.ts";

const EMBEDDING = "model.embed_tokens.weight";

/**
 * Compiles an opened model, with or without an adapter, into the list of operations that backends run. @throws
 * IdlmError "adapter-mismatch" if adapter or MASK embedding do not fit.
 */
export function compileProgram(model: OpenedModel, options: CompileOptions = {}): Program {
  const { config } = model;
  const { lora, maskEmbedding, entryLayer } = checkAdapter(model, options);
  const idlm = options.adapter?.idlm;
  const base = baseParameters(model.weights);
  const parameters = { ...base, ...adapterParametersOf(idlm, maskEmbedding, lora) };
  const { headDim, hiddenSize, nHeads, nKvHeads, nLayers, normEpsilon: epsilon, vocabSize } = config;
  const output = config.isTied ? EMBEDDING : "lm_head.weight";
  const list = new ListBuilder(parameters);

  const norm = (rows: RowSet, out: string, x: string, module: string, width: number) =>
    list.add("rmsnorm", rows, out, { x }, { weight: `${module}.weight` }, { epsilon, width });
  const linear = (rows: RowSet, out: string, x: string, module: string) => {
    const bias = `${module}.bias`;
    const y = list.add("linear", rows, out, { x }, { weight: `${module}.weight`, ...(bias in base && { bias }) }, {});
    const term = lora.get(module);
    if (term === undefined) return y;
    const { scale } = term;
    const matrices = { a: adapterParameters.loraA(module), b: adapterParameters.loraB(module) };
    return list.add("lora", rows, `${out}.lora`, { y, x }, matrices, { scale });
  };

  let x = list.add("embed", "token", "embed", {}, { weight: EMBEDDING }, {});
  // Rows of a layer: without MASK rows, and before these enter, only token rows.
  let rows: RowSet = "token";
  for (let layer = 0; layer < nLayers; layer++) {
    if (maskEmbedding !== undefined && entryLayer === layer) {
      const embedding = adapterParameters.maskEmbedding;
      const scale = adapterParameters.entryScale;
      const mask =
        layer === 0
          ? list.add("mask-embed", "mask", "mask_embed", {}, { embedding }, {})
          : list.add("enter", "mask", "mask_embed", { x }, { scale, embedding }, {});
      x = list.add("join", "all", "joined", { token: x, mask }, {}, {});
      rows = "all";
    }
    const named = (part: string) => `layers.${layer}.${part}`;
    const module = (name: string) => `model.layers.${layer}.${name}`;
    const rotated = (part: "q" | "k", projected: string) => {
      const each = config.hasQkNorm
        ? norm(rows, named(`${part}.norm`), projected, module(`self_attn.${part}_norm`), headDim)
        : projected;
      return list.add("rope", rows, named(`${part}.rotated`), { x: each }, {}, { headDim });
    };
    const attentionInput = norm(rows, named("attention_norm"), x, module("input_layernorm"), hiddenSize);
    const [ownQ, ownK, v] = (["q", "k", "v"] as const).map((part) =>
      linear(rows, named(part), attentionInput, module(`self_attn.${part}_proj`)),
    ) as [string, string, string];
    const qkv = { q: rotated("q", ownQ), k: rotated("k", ownK), v };
    const window = config.slidingWindows?.[layer];
    const sizes = { layer, nHeads, nKvHeads, headDim, ...(window !== undefined && { window }) };
    const attention = list.add("attention", rows, named("attention"), qkv, {}, sizes);
    const attended = linear(rows, named("o"), attention, module("self_attn.o_proj"));
    x = list.add("add", rows, named("after_attention"), { x, y: attended }, {}, {});
    const mlpInput = norm(rows, named("mlp_norm"), x, module("post_attention_layernorm"), hiddenSize);
    const gate = linear(rows, named("gate"), mlpInput, module("mlp.gate_proj"));
    const up = linear(rows, named("up"), mlpInput, module("mlp.up_proj"));
    const inner = list.add("swiglu", rows, named("swiglu"), { gate, up }, {}, {});
    x = list.add(
      "add",
      rows,
      named("after_mlp"),
      { x, y: linear(rows, named("down"), inner, module("mlp.down_proj")) },
      {},
      {},
    );
  }
  const outputRows = maskEmbedding === undefined ? "output-token" : "output";
  const gathered = list.add("gather", outputRows, "gathered", { x }, {}, {});
  const hidden = norm(outputRows, "hidden", gathered, "model.norm", hiddenSize);
  const logits = list.add("logits", "output-token", "logits", { x: hidden }, { weight: output }, {});
  const ids = DRAFT_VOCABULARY in parameters && { ids: DRAFT_VOCABULARY };
  const maskLogits =
    maskEmbedding && list.add("logits", "output-mask", "mask_logits", { x: hidden }, { weight: output, ...ids }, {});

  return {
    sizes: { nLayers, hiddenSize, vocabSize },
    cacheType: Object.values(base).every(({ type }) => floatTypes.has(type)) ? "f32" : "f16",
    rope: ropeFrequencies(config.rope, headDim),
    values: list.values,
    parameters,
    forward: list.operations,
    results: { hidden, logits, ...(maskLogits !== undefined && { maskLogits }) },
    ...(maskEmbedding && {
      mask: { nDepths: maskEmbedding.nDepths, sharedByDepth: maskEmbedding.sharedByDepth, entryLayer },
    }),
    heads: headsOf(parameters, {
      ...{ hiddenSize, embedding: EMBEDDING, output, epsilon },
      hasSampler: maskEmbedding !== undefined && idlm?.samplerHead !== undefined,
      nMedusa: idlm?.medusaHeads.length ?? 0,
    }),
  };
}
