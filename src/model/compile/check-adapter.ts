import { IdlmError } from "../../errors.ts";
import type { Adapter } from "../../formats/adapter/adapter.ts";
import type { MaskEmbedding } from "../../formats/adapter/mask-embedding.ts";
import type { LoraModule } from "../../formats/peft/peft.ts";
import type { OpenedModel } from "../open/open-model.ts";

/** Adapter and related options of a program. */
export interface CompileOptions {
  readonly adapter?: Adapter;
  /** Replaces the adapter's own MASK embedding. */
  readonly maskEmbedding?: MaskEmbedding;
  /** SHA-256 of the model's file, compared with the adapter's fingerprint if both are known. */
  readonly modelSha256?: string;
}

/** The low-rank term of one module, its matrices row-major: a [rank, in], b [out, rank]. */
export type LoraTerm = Pick<LoraModule, "rank" | "a" | "b" | "scale">;

/** The parts of an adapter, validated for the model. */
export interface CheckedAdapter {
  /** By the name of the linear layer, like "model.layers.0.self_attn.q_proj". */
  readonly lora: ReadonlyMap<string, LoraTerm>;
  /** Absent: no MASK rows. */
  readonly maskEmbedding: MaskEmbedding | undefined;
  readonly entryLayer: number;
}

/** Validates adapter and MASK embedding for the model. @throws IdlmError "adapter-mismatch" if they do not fit. */
export function checkAdapter(model: OpenedModel, options: CompileOptions): CheckedAdapter {
  const idlm = options.adapter?.idlm;
  const fail = (reason: string): never => {
    const adapter = options.adapter?.path ?? "the MASK embedding";
    throw new IdlmError("adapter-mismatch", { adapter, model: model.path, reason });
  };
  const { baseSha256 } = idlm ?? {};
  if (baseSha256 !== undefined && options.modelSha256 !== undefined && baseSha256 !== options.modelSha256) {
    fail(`it was made for the file with SHA-256 ${baseSha256}, this one has ${options.modelSha256}`);
  }
  const maskEmbedding = options.maskEmbedding ?? idlm?.maskEmbedding;
  if (maskEmbedding !== undefined) checkMaskRows(model, options.adapter, maskEmbedding, fail);
  const lora = checkLora(model, options.adapter, fail);
  checkProposing(model, options.adapter, fail);
  return { lora, maskEmbedding, entryLayer: idlm?.entryLayer ?? 0 };
}

type Fail = (reason: string) => never;

function checkMaskRows({ config }: OpenedModel, adapter: Adapter | undefined, mask: MaskEmbedding, fail: Fail): void {
  const { hiddenSize, nLayers } = config;
  if (mask.hiddenSize !== hiddenSize) {
    fail(`MASK embeddings of ${mask.hiddenSize}, the model's hidden size is ${hiddenSize}`);
  }
  const { entryLayer = 0, samplerHead } = adapter?.idlm ?? {};
  if (entryLayer >= nLayers) fail(`entry layer ${entryLayer}, the model has ${nLayers} layers`);
  for (const module of adapter?.peft?.modules.keys() ?? []) {
    const layer = Number(/layers\.(\d+)\./.exec(module)?.[1] ?? 0);
    if (layer < entryLayer) fail(`${module} lies before entry layer ${entryLayer}, where no MASK row passes`);
  }
  const headSize = 2 * hiddenSize * hiddenSize;
  if (samplerHead !== undefined && (samplerHead.w1.length !== headSize || samplerHead.w2.length * 2 !== headSize)) {
    fail(`the sampler head is not of hidden size ${hiddenSize}`);
  }
}

/** The adapter's low-rank terms by module, validated for the model's weights. */
function checkLora(model: OpenedModel, adapter: Adapter | undefined, fail: Fail): Map<string, LoraTerm> {
  const terms = new Map<string, LoraTerm>();
  const modules = [...(adapter?.peft?.modules ?? [])].flatMap(([name, module]) => separate(model, name, module));
  for (const [module, { rank, a, b, scale, inSize, outSize }] of modules) {
    const weight = model.weights.get(`${module}.weight`)?.tensor;
    const [out, inner] = weight?.shape ?? [];
    if (out === undefined || inner === undefined || !/\.(self_attn|mlp)\./.test(module)) {
      return fail(`the model has no linear layer ${module}`);
    }
    if (inSize !== inner || outSize !== out) {
      fail(`${module} is [${out}, ${inner}], the adapter's is [${outSize}, ${inSize}]`);
    }
    terms.set(module, { rank, a, b, scale });
  }
  return terms;
}

/** Validates the adapter's sampler head, draft vocabulary and extra heads. */
function checkProposing({ config }: OpenedModel, adapter: Adapter | undefined, fail: Fail): void {
  const last = adapter?.idlm?.draftVocabulary?.at(-1) ?? 0;
  if (last >= config.vocabSize) fail(`draft vocabulary id ${last}, the model has ${config.vocabSize} tokens`);
  if (adapter?.idlm?.medusaHeads.some(({ bias }) => bias.length !== config.hiddenSize)) {
    fail(`the Medusa heads are not of hidden size ${config.hiddenSize}`);
  }
}

/** Projections that some engines fuse: one input, outputs concatenated. */
const fused: Readonly<Record<string, readonly string[]>> = {
  "self_attn.qkv_proj": ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
  "mlp.gate_up_proj": ["mlp.gate_proj", "mlp.up_proj"],
};

/** Splits a fused module into its parts: they share A, and each has its rows of B. Others are unchanged. */
function separate(model: OpenedModel, name: string, module: LoraModule): (readonly [string, LoraModule])[] {
  const [, prefix = "", own = ""] = /^(.*layers\.\d+\.)(.+)$/.exec(name) ?? [];
  const parts = (Object.hasOwn(fused, own) ? fused[own] : undefined)?.map((part) => `${prefix}${part}`) ?? [];
  const sizes = parts.map((part) => model.weights.get(`${part}.weight`)?.tensor.shape[0] ?? 0);
  // With the wrong size it is rejected under its own name.
  if (parts.length === 0 || sizes.reduce((sum, size) => sum + size, 0) !== module.outSize) return [[name, module]];
  let row = 0;
  return parts.map((part, i) => {
    const outSize = sizes[i] ?? 0;
    const b = module.b.subarray(row * module.rank, (row + outSize) * module.rank);
    row += outSize;
    return [part, { ...module, outSize, b }];
  });
}
