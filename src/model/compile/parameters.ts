import { DRAFT_VOCABULARY, type Parameter, type Program } from "../../compute/program/program.ts";
import type { IdlmPart } from "../../formats/adapter/adapter.ts";
import type { MaskEmbedding } from "../../formats/adapter/mask-embedding.ts";
import type { ModelWeight } from "../open/open-model.ts";
import type { LoraTerm } from "./check-adapter.ts";

export type Parameters = Record<string, Parameter>;

/** Ids of an adapter's parameters, except for the draft vocabulary. */
export const adapterParameters = {
  maskEmbedding: "mask_embedding",
  entryScale: "entry_scale",
  w1: "sampler_head.w1",
  w2: "sampler_head.w2",
  loraA: (module: string) => `${module}.lora_A`,
  loraB: (module: string) => `${module}.lora_B`,
  medusaWeight: (head: number) => `medusa.${head}.weight`,
  medusaBias: (head: number) => `medusa.${head}.bias`,
} as const;

/** The base model's weights. Files are mapped when a backend reads their bytes to pack them. */
export function baseParameters(weights: ReadonlyMap<string, ModelWeight>): Parameters {
  const parameters: Parameters = {};
  for (const [name, { tensor, rowOrder }] of weights) {
    const [first = 1, second] = tensor.shape;
    const shape = second === undefined ? { rows: 1, cols: first } : { rows: first, cols: second };
    parameters[name] = {
      ...shape,
      type: tensor.type,
      get bytes() {
        return tensor.bytes;
      },
      ...(rowOrder !== undefined && { rowOrder }),
      origin: "base",
      isTrainable: false,
    };
  }
  return parameters;
}

/** The adapter's parameters, with an optional replacement of its MASK embedding. */
export function adapterParametersOf(
  idlm: IdlmPart | undefined,
  maskEmbedding: MaskEmbedding | undefined,
  lora: ReadonlyMap<string, LoraTerm>,
): Parameters {
  const parameters: Parameters = {};
  const set = (id: string, rows: number, values: Float32Array | undefined) => {
    if (values !== undefined) parameters[id] = trainable(rows, values.length / rows, values);
  };
  for (const [module, { rank, a, b }] of lora) {
    set(adapterParameters.loraA(module), rank, a);
    set(adapterParameters.loraB(module), b.length / rank, b);
  }
  if (maskEmbedding !== undefined) {
    set(adapterParameters.maskEmbedding, maskEmbedding.nDepths, maskEmbedding.values);
    if ((idlm?.entryLayer ?? 0) > 0) set(adapterParameters.entryScale, 1, Float32Array.of(idlm?.entryScale ?? 1));
    const { samplerHead } = idlm ?? {};
    set(adapterParameters.w1, maskEmbedding.hiddenSize, samplerHead?.w1);
    set(adapterParameters.w2, maskEmbedding.hiddenSize, samplerHead?.w2);
  }
  idlm?.medusaHeads.forEach(({ weight, bias }, head) => {
    set(adapterParameters.medusaWeight(head), bias.length, weight);
    set(adapterParameters.medusaBias(head), 1, bias);
  });
  const draft = idlm?.draftVocabulary;
  if (draft !== undefined) {
    const shape = { rows: 1, cols: draft.length, type: "I32" as const };
    parameters[DRAFT_VOCABULARY] = { ...shape, bytes: bytesOf(draft), origin: "adapter", isTrainable: false };
  }
  return parameters;
}

function trainable(rows: number, cols: number, values: Float32Array): Parameter {
  return { rows, cols, type: "F32", bytes: bytesOf(values), origin: "adapter", isTrainable: true };
}

function bytesOf({ buffer, byteOffset, byteLength }: Float32Array | Int32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

/** The name of a parameter in the files of a model or of an adapter. */
export function trainedTensorName(id: string): string {
  const lora = /^(.+)\.(lora_[AB])$/.exec(id);
  return lora === null ? id : `base_model.model.${lora[1]}.${lora[2]}.weight`;
}

/** The shape of a parameter in those files. */
export function trainedTensorShape({ parameters, mask }: Program, id: string): readonly number[] {
  const { rows = 1, cols = 1, origin } = parameters[id] ?? {};
  const isVector =
    origin === "base"
      ? rows === 1
      : id === adapterParameters.entryScale ||
        (id === adapterParameters.maskEmbedding && mask?.sharedByDepth === true) ||
        id.endsWith(".bias");
  return isVector ? [cols] : [rows, cols];
}
