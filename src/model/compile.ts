import type { LinearPart, Lora, MaskProgram, Operation, Program, Weight } from "../compute/program/program.ts";
import { IdlmError } from "../errors.ts";
import type { Adapter } from "../formats/adapter/adapter.ts";
import type { MaskEmbedding } from "../formats/adapter/mask-embedding.ts";
import type { LoraModule } from "../formats/peft/peft.ts";
import { floatTypes } from "../formats/tensor/tensor-type.ts";
import type { OpenedModel } from "./open/open-model.ts";
import { ropeFrequencies } from "./config/rope.ts";

/** What MASK rows are made of, beside the model. */
export interface CompileOptions {
  readonly adapter?: Adapter;
  /** Replaces the adapter's own MASK embedding. */
  readonly maskEmbedding?: MaskEmbedding;
  /** SHA-256 of the model's file, compared with the adapter's fingerprint where both are known. */
  readonly modelSha256?: string;
}

/**
 * Compiles an opened model, with or without an adapter, into the flat list of operations that backends run.
 * @throws IdlmError "adapter-mismatch" where adapter or MASK embedding do not fit.
 */
export function compileProgram(model: OpenedModel, options: CompileOptions = {}): Program {
  const { config } = model;
  const mask = maskProgram(model, options);
  const lora = loraOf(model, options.adapter);
  const weights: Record<string, Weight> = {};
  for (const [name, { tensor, rowOrder }] of model.weights) {
    const [rows = 1, cols] = tensor.shape;
    const shape = cols === undefined ? { rows: 1, cols: rows } : { rows, cols };
    const weight = { ...shape, type: tensor.type };
    // Bytes are asked for when a backend packs the weight: a file is mapped then, not before.
    const lazy = Object.defineProperty(weight, "bytes", { enumerable: true, get: () => tensor.bytes }) as Weight;
    weights[name] = rowOrder === undefined ? lazy : Object.assign(lazy, { rowOrder });
  }
  const q = config.nHeads * config.headDim;
  const kv = config.nKvHeads * config.headDim;
  const { hiddenSize: hidden, mlpSize: mlp, normEpsilon: epsilon } = config;
  const buffers = {
    x: hidden,
    n: hidden,
    q,
    k: kv,
    v: kv,
    a: q,
    o: hidden,
    g: mlp,
    u: mlp,
    m: mlp,
    y: hidden,
    h: hidden,
  };

  const operations: Operation[] = [{ kind: "embed", weight: "model.embed_tokens.weight", out: "x" }];
  for (let layer = 0; layer < config.nLayers; layer++) {
    const prefix = `model.layers.${layer}.`;
    const part = (module: string, out: string): LinearPart => {
      const name = `${prefix}${module}`;
      const term = lora.get(name);
      return {
        weight: `${name}.weight`,
        ...(`${name}.bias` in weights ? { bias: `${name}.bias` } : {}),
        ...(term === undefined ? {} : { lora: term }),
        out,
      };
    };
    const norm = (module: string, x: string, out: string): Operation => {
      return { kind: "rmsnorm", x, weight: `${prefix}${module}.weight`, epsilon, out };
    };
    if (mask !== undefined && mask.entryLayer > 0 && mask.entryLayer === layer)
      operations.push({ kind: "enter", x: "x" });
    operations.push(
      norm("input_layernorm", "x", "n"),
      {
        kind: "linear",
        x: "n",
        parts: [part("self_attn.q_proj", "q"), part("self_attn.k_proj", "k"), part("self_attn.v_proj", "v")],
      },
      ...(config.hasQkNorm ? [norm("self_attn.q_norm", "q", "q"), norm("self_attn.k_norm", "k", "k")] : []),
      { kind: "rope", q: "q", k: "k" },
      { kind: "attention", layer, q: "q", k: "k", v: "v", out: "a" },
      { kind: "linear", x: "a", parts: [part("self_attn.o_proj", "o")] },
      { kind: "add", x: "x", y: "o" },
      norm("post_attention_layernorm", "x", "n"),
      { kind: "linear", x: "n", parts: [part("mlp.gate_proj", "g"), part("mlp.up_proj", "u")] },
      { kind: "swiglu", gate: "g", up: "u", out: "m" },
      { kind: "linear", x: "m", parts: [part("mlp.down_proj", "o")] },
      { kind: "add", x: "x", y: "o" },
    );
  }
  operations.push(
    { kind: "gather", x: "x", out: "y" },
    { kind: "rmsnorm", x: "y", weight: "model.norm.weight", epsilon, out: "h" },
    { kind: "logits", x: "h", weight: config.isTied ? "model.embed_tokens.weight" : "lm_head.weight" },
  );

  const isFloat = Object.values(weights).every((weight) => floatTypes.has(weight.type));
  return {
    buffers,
    weights,
    operations,
    nLayers: config.nLayers,
    hiddenSize: hidden,
    vocabSize: config.vocabSize,
    nHeads: config.nHeads,
    nKvHeads: config.nKvHeads,
    headDim: config.headDim,
    cacheType: isFloat ? "f32" : "f16",
    rope: ropeFrequencies(config.rope, config.headDim),
    ...(mask === undefined ? {} : { mask }),
    ...proposingParts(model, options.adapter),
  };
}

/** What of an adapter proposes beside MASK rows, or as they do. */
function proposingParts(
  model: OpenedModel,
  adapter: Adapter | undefined,
): Pick<Program, "draftVocabulary" | "extraHeads"> {
  const { config } = model;
  const draftVocabulary = adapter?.idlm?.draftVocabulary;
  const last = draftVocabulary?.at(-1) ?? 0;
  if (last >= config.vocabSize) {
    throw mismatch(model, adapter, `draft vocabulary id ${last}, the model has ${config.vocabSize} tokens`);
  }
  const extraHeads = adapter?.idlm?.medusaHeads ?? [];
  if (extraHeads.some(({ bias }) => bias.length !== config.hiddenSize)) {
    throw mismatch(model, adapter, `the Medusa heads are not of hidden size ${config.hiddenSize}`);
  }
  return {
    ...(draftVocabulary === undefined ? {} : { draftVocabulary }),
    ...(extraHeads.length === 0 ? {} : { extraHeads }),
  };
}

function mismatch(model: OpenedModel, adapter: Adapter | undefined, reason: string): IdlmError {
  return new IdlmError("adapter-mismatch", {
    adapter: adapter?.path ?? "the MASK embedding",
    model: model.path,
    reason,
  });
}

/** The adapter's low-rank terms by module, checked against the model's weights. */
function loraOf(model: OpenedModel, adapter: Adapter | undefined): Map<string, Lora> {
  const terms = new Map<string, Lora>();
  const modules = [...(adapter?.peft?.modules ?? [])].flatMap(([name, module]) => separate(model, name, module));
  for (const [module, { rank, a, b, scale, inSize, outSize }] of modules) {
    const weight = model.weights.get(`${module}.weight`)?.tensor;
    const [out, inner] = weight?.shape ?? [];
    if (out === undefined || inner === undefined || !/\.(self_attn|mlp)\./.test(module)) {
      throw mismatch(model, adapter, `the model has no linear layer ${module}`);
    }
    if (inSize !== inner || outSize !== out) {
      throw mismatch(model, adapter, `${module} is [${out}, ${inner}], the adapter's is [${outSize}, ${inSize}]`);
    }
    terms.set(module, { rank, a, b, scale });
  }
  return terms;
}

/** Names of projections that some engines fuse, outputs one after the other over one input. */
const fused: Readonly<Record<string, readonly string[]>> = {
  "self_attn.qkv_proj": ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
  "mlp.gate_up_proj": ["mlp.gate_proj", "mlp.up_proj"],
};

/** A fused module as those that it is made of: A is theirs together, each has its rows of B. Any other as it is. */
function separate(model: OpenedModel, name: string, module: LoraModule): (readonly [string, LoraModule])[] {
  const [, prefix = "", own = ""] = /^(.*layers\.\d+\.)(.+)$/.exec(name) ?? [];
  const parts = (Object.hasOwn(fused, own) ? fused[own] : undefined)?.map((part) => `${prefix}${part}`) ?? [];
  const sizes = parts.map((part) => model.weights.get(`${part}.weight`)?.tensor.shape[0] ?? 0);
  // Of the wrong size it is refused under its own name.
  if (parts.length === 0 || sizes.reduce((sum, size) => sum + size, 0) !== module.outSize) return [[name, module]];
  let row = 0;
  return parts.map((part, i) => {
    const outSize = sizes[i] ?? 0;
    const b = module.b.subarray(row * module.rank, (row + outSize) * module.rank);
    row += outSize;
    return [part, { ...module, outSize, b }];
  });
}

function maskProgram(model: OpenedModel, options: CompileOptions): MaskProgram | undefined {
  const { adapter } = options;
  const { config } = model;
  const own = adapter?.idlm;
  const embedding = options.maskEmbedding ?? own?.maskEmbedding;
  if (own?.baseSha256 !== undefined && options.modelSha256 !== undefined && own.baseSha256 !== options.modelSha256) {
    const reason = `it was made for the file with SHA-256 ${own.baseSha256}, this one has ${options.modelSha256}`;
    throw mismatch(model, adapter, reason);
  }
  if (embedding === undefined) return undefined;
  if (embedding.hiddenSize !== config.hiddenSize) {
    const reason = `MASK embeddings of ${embedding.hiddenSize}, the model's hidden size is ${config.hiddenSize}`;
    throw mismatch(model, adapter, reason);
  }
  const entryLayer = own?.entryLayer ?? 0;
  if (entryLayer >= config.nLayers) {
    throw mismatch(model, adapter, `entry layer ${entryLayer}, the model has ${config.nLayers} layers`);
  }
  for (const module of adapter?.peft?.modules.keys() ?? []) {
    const layer = Number(/layers\.(\d+)\./.exec(module)?.[1] ?? 0);
    if (layer < entryLayer) {
      throw mismatch(model, adapter, `${module} lies before entry layer ${entryLayer}, where no MASK row passes`);
    }
  }
  const head = own?.samplerHead;
  const headSize = 2 * config.hiddenSize * config.hiddenSize;
  if (head !== undefined && (head.w1.length !== headSize || head.w2.length * 2 !== headSize)) {
    throw mismatch(model, adapter, `the sampler head is not of hidden size ${config.hiddenSize}`);
  }
  return {
    embedding: embedding.values,
    nDepths: embedding.nDepths,
    sharedByDepth: embedding.sharedByDepth,
    entryLayer,
    entryScale: own?.entryScale ?? 1,
    ...(head === undefined ? {} : { samplerHead: head }),
  };
}
