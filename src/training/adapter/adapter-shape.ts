import type { Adapter } from "../../formats/adapter/adapter.ts";

/** Sizes of an adapter's tensors, beside those of the base model. */
export interface AdapterShape {
  /** Depths of MASK rows. */
  readonly masks: number;
  readonly entryLayer: number;
  readonly rank: number;
  readonly alpha: number;
  readonly draftVocabulary: Int32Array<ArrayBuffer>;
}

/** Linear layers of a transformer layer, which LoRA acts on. */
export const targetModules = [
  "self_attn.q_proj",
  "self_attn.k_proj",
  "self_attn.v_proj",
  "self_attn.o_proj",
  "mlp.gate_proj",
  "mlp.up_proj",
  "mlp.down_proj",
] as const;

/** Creates an adapter of a shape; `values` returns each tensor by parameter id and shape. */
export function makeAdapter(
  shape: AdapterShape,
  base: BaseOfAdapter,
  values: (id: string, rows: number, cols: number) => Float32Array<ArrayBuffer>,
): Adapter {
  const { masks, entryLayer, rank, alpha, draftVocabulary } = shape;
  const { nLayers, hiddenSize } = base;
  const layers = Array.from({ length: nLayers - entryLayer }, (_, i) => entryLayer + i);
  const names = layers.flatMap((layer) => targetModules.map((module) => `model.layers.${layer}.${module}`));
  const modules = names.map((name) => {
    const [outSize, inSize] = base.linearShape(name);
    const a = values(`${name}.lora_A`, rank, inSize);
    const b = values(`${name}.lora_B`, outSize, rank);
    return [name, { rank, inSize, outSize, a, b, scale: alpha / rank }] as const;
  });
  const maskValues = values("mask_embedding", masks, hiddenSize);
  return {
    path: base.name,
    peft: {
      config: {
        rank,
        alpha,
        targetModules: targetModules.map((module) => module.slice(module.indexOf(".") + 1)),
        rankPattern: [],
        alphaPattern: [],
        useRslora: false,
        excludeModules: [],
        layersPattern: [],
        layersToTransform: layers,
        baseModel: base.name,
      },
      modules: new Map(modules),
    },
    idlm: {
      maskEmbedding: { nDepths: masks, hiddenSize, sharedByDepth: false, values: maskValues },
      entryLayer,
      entryScale: entryLayer > 0 ? (values("entry_scale", 1, 1)[0] ?? 1) : 1,
      draftVocabulary,
      samplerHead: {
        w1: values("sampler_head.w1", hiddenSize, 2 * hiddenSize),
        w2: values("sampler_head.w2", hiddenSize, hiddenSize),
      },
      medusaHeads: [],
      baseSha256: base.sha256,
      training: undefined,
    },
  };
}

/** Properties of the base model that an adapter depends on. */
export interface BaseOfAdapter {
  /** Recorded as `base_model_name_or_path`. */
  readonly name: string;
  readonly nLayers: number;
  readonly hiddenSize: number;
  readonly sha256: string | undefined;
  /** [out, in] of a linear layer by its name. */
  linearShape(name: string): readonly [number, number];
}
