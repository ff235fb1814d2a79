import { join } from "node:path";
import { makeFolder } from "../files/make-folder.ts";
import type { JsonObject } from "../files/json.ts";
import { writeOutput } from "../files/write-output.ts";
import { type TensorToWrite, tensorOf, writeSafetensors } from "../safetensors/safetensors-writer.ts";
import { floatToBfloat16 } from "../tensor/half.ts";
import type { Adapter } from "./adapter.ts";
import { quantiseInt8 } from "./int8-storage.ts";

/** How an adapter's matrices are stored: bfloat16, which Python's `peft` reads, or 8-bit integers with scales. */
export type AdapterStore = "bf16" | "int8";

/** Smaller matrices stay as they are: their scales and names would take the space that is saved. */
const MIN_INT8_ELEMENTS = 4096;
/** The entries of `adapter_config.json` that do not depend on the adapter. */
const peftConstants = {
  peft_type: "LORA",
  task_type: "CAUSAL_LM",
  bias: "none",
  inference_mode: true,
  lora_dropout: 0,
  use_rslora: false,
};

/**
 * Writes an adapter folder that `readAdapter` reads; in bf16, its LoRA is a folder that `peft` loads. Each file is replaced
 * atomically, `idlm_config.json` as the last one, so that a folder that has one is complete. MASK embeddings and vectors
 * are float32. `training`: how it was made, stored as it is.
 * @throws IdlmError "file-unwritable".
 */
export function writeAdapter(folder: string, adapter: Adapter, store: AdapterStore, training?: JsonObject): void {
  makeFolder(folder);
  const { peft, idlm } = adapter;
  if (peft !== undefined) {
    const tensors: [string, TensorToWrite][] = [];
    for (const [name, { rank, inSize, outSize, a, b }] of peft.modules) {
      tensors.push(...stored(`base_model.model.${name}.lora_A.weight`, a, rank, inSize, store));
      tensors.push(...stored(`base_model.model.${name}.lora_B.weight`, b, outSize, rank, store));
    }
    writeSafetensors(join(folder, "adapter_model.safetensors"), new Map(tensors), { format: "pt" });
    writeJson(join(folder, "adapter_config.json"), peftConfig(peft));
  }
  if (idlm === undefined) return;
  writeSafetensors(join(folder, "idlm.safetensors"), new Map(idlmTensors(idlm, store)));
  writeJson(join(folder, "idlm_config.json"), {
    masks: idlm.maskEmbedding?.nDepths ?? 0,
    sampler_head: idlm.samplerHead !== undefined,
    ...(idlm.draftVocabulary && { draft_vocabulary: idlm.draftVocabulary.length }),
    entry_layer: idlm.entryLayer,
    ...(idlm.medusaHeads.length > 0 && { medusa_heads: idlm.medusaHeads.length }),
    ...(idlm.baseSha256 !== undefined && { base_sha256: idlm.baseSha256 }),
    ...(idlm.maskEmbedding && { objective: "gated" }),
    ...(training && { training }),
  });
}

function peftConfig({ config }: NonNullable<Adapter["peft"]>): JsonObject {
  const { rank, alpha, targetModules, rankPattern, alphaPattern, useRslora, baseModel } = config;
  const { excludeModules, layersToTransform, layersPattern } = config;
  return {
    ...peftConstants,
    r: rank,
    lora_alpha: alpha,
    use_rslora: useRslora,
    target_modules: targetModules,
    ...(rankPattern.length > 0 && { rank_pattern: Object.fromEntries(rankPattern) }),
    ...(alphaPattern.length > 0 && { alpha_pattern: Object.fromEntries(alphaPattern) }),
    ...(excludeModules.length > 0 && { exclude_modules: excludeModules }),
    ...(layersPattern.length > 0 && { layers_pattern: layersPattern }),
    ...(layersToTransform && { layers_to_transform: layersToTransform }),
    ...(baseModel !== undefined && { base_model_name_or_path: baseModel }),
  };
}

function idlmTensors(idlm: NonNullable<Adapter["idlm"]>, store: AdapterStore): [string, TensorToWrite][] {
  const { maskEmbedding, entryLayer, entryScale, draftVocabulary, samplerHead, medusaHeads } = idlm;
  const tensors: [string, TensorToWrite][] = [];
  if (maskEmbedding !== undefined) {
    const { values, nDepths, hiddenSize } = maskEmbedding;
    tensors.push(["mask_embedding", tensorOf(values, [nDepths, hiddenSize])]);
    if (entryLayer > 0) tensors.push(["entry_scale", tensorOf(Float32Array.of(entryScale))]);
    if (samplerHead !== undefined) {
      tensors.push(...stored("sampler_head.w1", samplerHead.w1, hiddenSize, 2 * hiddenSize, store));
      tensors.push(...stored("sampler_head.w2", samplerHead.w2, hiddenSize, hiddenSize, store));
    }
  }
  if (draftVocabulary !== undefined) tensors.push(["draft_vocabulary", tensorOf(draftVocabulary)]);
  medusaHeads.forEach(({ weight, bias }, k) => {
    tensors.push(...stored(`medusa.${k}.weight`, weight, bias.length, bias.length, store));
    tensors.push([`medusa.${k}.bias`, tensorOf(bias)]);
  });
  return tensors;
}

function stored(name: string, values: Float32Array, rows: number, cols: number, store: AdapterStore) {
  if (store === "int8" && values.length >= MIN_INT8_ELEMENTS) return quantiseInt8(name, values, rows, cols);
  const bits = Uint16Array.from(values, floatToBfloat16);
  const tensor: TensorToWrite = { type: "BF16", shape: [rows, cols], bytes: new Uint8Array(bits.buffer) };
  return [[name, tensor] as [string, TensorToWrite]];
}

function writeJson(path: string, value: JsonObject): void {
  writeOutput(path, [Buffer.from(`${JSON.stringify(value, null, 1)}\n`)]);
}
