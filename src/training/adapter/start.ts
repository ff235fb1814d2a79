import { createHash } from "node:crypto";
import type { Program } from "../../compute/program/program.ts";
import { IdlmError, key, phrase } from "../../errors.ts";
import { type Adapter, readAdapter } from "../../formats/adapter/adapter.ts";
import { dequantise } from "../../formats/tensor/dequantise.ts";
import type { OpenedModel } from "../../model/open/open-model.ts";
import { type AdapterShape, type BaseOfAdapter, makeAdapter, targetModules } from "./adapter-shape.ts";
import { deviationOf, initialValues } from "./initial-values.ts";

/** Requested shape of an adapter; absent fields are those of the start, or defaults. */
export interface AskedShape {
  readonly masks?: number;
  readonly entryLayer?: number;
  readonly rank?: number;
  readonly alpha?: number;
  /** Number of ids. */
  readonly draftVocabulary?: number;
}

/** An adapter that training continues: its shape, and itself. */
export interface AdapterStart {
  readonly shape: AdapterShape;
  readonly adapter: Adapter;
  /** SHA-256 of its tensors. */
  readonly sha256: string;
}

/**
 * Reads an adapter to start from. The draft vocabulary may differ: no trained tensor depends on it. @throws IdlmError
 * "unsupported" if this kind of adapter cannot be trained; "usage" if another shape is requested; those of
 * `readAdapter`.
 */
export function readStart(folder: string, asked: AskedShape): AdapterStart {
  const adapter = readAdapter(folder);
  const { peft, idlm } = adapter;
  const refuse = (feature: string) => {
    const hint = "Training starts from an adapter as idlm train writes it.";
    return new IdlmError("unsupported", { path: folder, feature: `starting from ${feature}`, hint });
  };
  if (peft === undefined || idlm?.maskEmbedding === undefined) throw refuse("an adapter without MASK rows");
  if (idlm.draftVocabulary === undefined) throw refuse("an adapter without a draft vocabulary");
  if (idlm.samplerHead === undefined) throw refuse("an adapter without a sampler head");
  if (idlm.medusaHeads.length > 0) throw refuse("an adapter with Medusa heads");
  const { rank, alpha, useRslora } = peft.config;
  const wrong = [...peft.modules].find(([name, module]) => module.rank !== rank || !isTarget(name));
  if (useRslora || wrong !== undefined) throw refuse(wrong === undefined ? "rsLoRA" : `the LoRA of ${wrong[0]}`);
  const { maskEmbedding, entryLayer, draftVocabulary, samplerHead } = idlm;
  const shape = { masks: maskEmbedding.nDepths, entryLayer, rank, alpha, draftVocabulary };
  const adapterShape = { masks: shape.masks, entryLayer, rank, alpha };
  for (const name of Object.keys(adapterShape) as (keyof typeof adapterShape)[]) {
    if (asked[name] === undefined || asked[name] === adapterShape[name]) continue;
    throw new IdlmError("usage", {
      problem: phrase`${key(name)}: ${asked[name]}, the adapter ${folder} has ${adapterShape[name]}`,
      hint: "Leave it out to train an adapter further.",
    });
  }
  const hash = createHash("sha256").update(JSON.stringify(adapterShape));
  const parts = [
    maskEmbedding.values,
    draftVocabulary,
    samplerHead.w1,
    samplerHead.w2,
    Float32Array.of(idlm.entryScale),
  ];
  for (const name of [...peft.modules.keys()].sort()) {
    const { a, b } = peft.modules.get(name) ?? {};
    if (a !== undefined && b !== undefined) parts.push(a, b);
  }
  for (const part of parts) hash.update(new Uint8Array(part.buffer, part.byteOffset, part.byteLength));
  return { shape, adapter, sha256: hash.digest("hex") };
}

function isTarget(module: string): boolean {
  return targetModules.some((target) => module.endsWith(`.${target}`));
}

/** Properties of an opened model that an adapter depends on. */
export function baseOf(model: OpenedModel, name: string, sha256: string | undefined): BaseOfAdapter {
  const { nLayers, hiddenSize } = model.config;
  return {
    ...{ name, nLayers, hiddenSize, sha256 },
    linearShape: (module) => {
      const [out = 0, inner = 0] = model.weights.get(`${module}.weight`)?.tensor.shape ?? [];
      return [out, inner];
    },
  };
}

/** The adapter of a shape before its first step. */
export function newAdapter(shape: AdapterShape, model: OpenedModel, base: BaseOfAdapter, seed: number): Adapter {
  return makeAdapter(shape, base, initialValues(seed, embeddingDeviation(model)));
}

/** Standard deviation of the token embeddings. */
function embeddingDeviation(model: OpenedModel): number {
  const tensor = model.weights.get("model.embed_tokens.weight")?.tensor;
  if (tensor === undefined) return 0;
  const values = new Float32Array(tensor.shape.reduce((a, b) => a * b, 1));
  dequantise(tensor.type, tensor.bytes, values);
  return deviationOf(values);
}

/** Copies of a program's trainable parameters, by id. */
export function trainedValues({ parameters }: Program): Map<string, Float32Array<ArrayBuffer>> {
  const values = new Map<string, Float32Array<ArrayBuffer>>();
  for (const [id, { isTrainable, bytes }] of Object.entries(parameters)) {
    if (isTrainable) values.set(id, new Float32Array(bytes.slice().buffer));
  }
  return values;
}
