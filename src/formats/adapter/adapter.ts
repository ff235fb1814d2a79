import { existsSync } from "node:fs";
import { join } from "node:path";
import { type JsonObject, kindOf, readJsonObject, requireObject } from "../files/json.ts";
import { malformed, quote } from "../files/malformed.ts";
import { fileInFolder } from "../files/model-folder.ts";
import { type OpenedPeftAdapter, openPeftAdapter, type PeftAdapter, readPeftAdapter } from "../peft/peft.ts";
import { openSafetensors, type SafetensorsFile } from "../safetensors/safetensors.ts";
import type { StoredTensor } from "../tensor/tensor.ts";
import { checkFloats, isScale, readFloats } from "./int8-storage.ts";
import { findMaskEmbedding, type MaskEmbedding, type MaskShape, readMaskEmbedding } from "./mask-embedding.ts";

/** An adapter folder: a LoRA in PEFT's layout, plus the parts that PEFT has no files for. */
export interface Adapter {
  readonly path: string;
  /** Undefined for a folder with Medusa heads only. */
  readonly peft: PeftAdapter | undefined;
  /** Undefined for a folder with PEFT's files only. */
  readonly idlm: IdlmPart | undefined;
}

/** `idlm_config.json` and `idlm.safetensors`. */
export interface IdlmPart {
  /** One vector per depth; undefined with Medusa heads only. */
  readonly maskEmbedding: MaskEmbedding | undefined;
  /** MASK rows join the forward at this layer. */
  readonly entryLayer: number;
  /** Factor on the anchor's hidden state, for an entry layer above 0; else 1. */
  readonly entryScale: number;
  /** Token ids in ascending order; undefined: the whole vocabulary. */
  readonly draftVocabulary: Int32Array<ArrayBuffer> | undefined;
  /** Row-major: w1 [hidden, 2·hidden], w2 [hidden, hidden]; h' = h + w2·silu(w1·[h; e]). */
  readonly samplerHead: { readonly w1: Float32Array; readonly w2: Float32Array } | undefined;
  /** Row-major: weight [hidden, hidden], bias [hidden]; head k, from 0, predicts the token k + 2 positions after its row. */
  readonly medusaHeads: readonly MedusaHead[];
  /** SHA-256 of the base model's file, in hexadecimal. */
  readonly baseSha256: string | undefined;
  /** How it was trained, as the trainer recorded it; not interpreted. */
  readonly training: JsonObject | undefined;
}

/** h' = h + silu(weight·h + bias), multiplied by the output matrix (Medusa-1: Cai et al., arXiv 2401.10774, section 2.1.1). */
export interface MedusaHead {
  readonly weight: Float32Array;
  readonly bias: Float32Array;
}

const CONFIG_NAME = "idlm_config.json";
const WEIGHTS_NAME = "idlm.safetensors";
const peftNames = ["adapter_config.json", "adapter_model.safetensors"];
const MAX_CONFIG_BYTES = 1024 * 1024;
/** MASK rows were trained over a frozen base model: LoRA acts on them alone. */
const GATED = "gated";
/** Published models have 3 to 5; each further head is right less often. */
const MAX_MEDUSA_HEADS = 16;
/** Largest id that fits an int32. */
const MAX_ID = 0x7fff_ffff;
const configKeys: ReadonlySet<string> = new Set([
  "masks",
  "sampler_head",
  "draft_vocabulary",
  "entry_layer",
  "medusa_heads",
  "base_sha256",
  "objective",
  "training",
]);
const tensorNames: ReadonlySet<string> = new Set([
  "mask_embedding",
  "sampler_head.w1",
  "sampler_head.w2",
  "draft_vocabulary",
  "entry_scale",
]);

/** An opened adapter folder: headers are read and checked, values are not. */
export interface OpenedAdapter {
  readonly path: string;
  readonly peft: OpenedPeftAdapter | undefined;
  readonly idlm: OpenedIdlmPart | undefined;
  close(): void;
}

export interface OpenedIdlmPart {
  readonly file: SafetensorsFile;
  readonly mask: MaskShape | undefined;
  readonly nMedusaHeads: number;
  readonly entryLayer: number;
  readonly hasSamplerHead: boolean;
  /** Number of ids; undefined: the whole vocabulary. */
  readonly draftVocabularySize: number | undefined;
  readonly baseSha256: string | undefined;
  readonly training: JsonObject | undefined;
}

/** Like `readAdapter`, but reads headers only, so it is fast whatever the size of the matrices. */
export function openAdapter(folder: string): OpenedAdapter {
  const idlm = hasIdlmFiles(folder) ? openIdlmPart(folder) : undefined;
  try {
    const peft = needsPeft(folder, idlm) ? openPeftAdapter(folder) : undefined;
    const close = () => {
      peft?.file.close();
      idlm?.file.close();
    };
    return { path: folder, peft, idlm, close };
  } catch (error) {
    idlm?.file.close();
    throw error;
  }
}

/** Reads an adapter folder. Whether it fits a model is checked when the program is built. Errors: those of `readPeftAdapter`. */
export function readAdapter(folder: string): Adapter {
  const opened = hasIdlmFiles(folder) ? openIdlmPart(folder) : undefined;
  try {
    const peft = needsPeft(folder, opened) ? readPeftAdapter(folder) : undefined;
    return { path: folder, peft, idlm: opened && readIdlmPart(opened) };
  } finally {
    opened?.file.close();
  }
}

/** MASK rows need a LoRA, Medusa heads do not. */
function needsPeft(folder: string, idlm: OpenedIdlmPart | undefined): boolean {
  return idlm?.mask !== undefined || idlm === undefined || peftNames.some((name) => existsSync(join(folder, name)));
}

/** Checks that no file is a link out of the folder; true if the folder holds more than PEFT's files. */
function hasIdlmFiles(folder: string): boolean {
  for (const name of [...peftNames, CONFIG_NAME, WEIGHTS_NAME]) fileInFolder(folder, name);
  return existsSync(join(folder, CONFIG_NAME)) || existsSync(join(folder, WEIGHTS_NAME));
}

interface IdlmConfig {
  readonly masks: number;
  readonly hasSamplerHead: boolean;
  readonly draftVocabularySize: number | undefined;
  readonly entryLayer: number;
  readonly nMedusaHeads: number;
  readonly baseSha256: string | undefined;
  readonly training: JsonObject | undefined;
}

function readIdlmConfig(path: string): IdlmConfig {
  const json = readJsonObject(path, { maxBytes: MAX_CONFIG_BYTES }, `${WEIGHTS_NAME} requires it.`);
  const unknown = Object.keys(json).find((key) => !configKeys.has(key));
  if (unknown !== undefined) throw malformed(path, `key ${quote(unknown)}`, [...configKeys].join(", "), "another");
  const count = (field: string, min: number, value: unknown): number => {
    if (!Number.isSafeInteger(value) || (value as number) < min) {
      throw malformed(path, field, `a whole number from ${min}`, kindOf(value));
    }
    return value as number;
  };
  const sha = json.base_sha256 ?? undefined;
  if (sha !== undefined && (typeof sha !== "string" || !/^[0-9a-f]{64}$/.test(sha))) {
    throw malformed(path, "base_sha256", "64 hexadecimal digits", kindOf(sha));
  }
  const objective = json.objective ?? GATED;
  if (objective !== GATED) throw malformed(path, "objective", quote(GATED), kindOf(objective));
  const training = json.training ?? undefined;
  const head = json.sampler_head ?? false;
  if (typeof head !== "boolean") throw malformed(path, "sampler_head", "true or false", kindOf(head));
  const draft = json.draft_vocabulary ?? undefined;
  const nMedusaHeads = count("medusa_heads", 0, json.medusa_heads ?? 0);
  if (nMedusaHeads > MAX_MEDUSA_HEADS)
    throw malformed(path, "medusa_heads", `at most ${MAX_MEDUSA_HEADS}`, `${nMedusaHeads}`);
  const masks = nMedusaHeads > 0 ? count("masks", 0, json.masks ?? 0) : count("masks", 1, json.masks);
  const entryLayer = count("entry_layer", 0, json.entry_layer ?? 0);
  if (masks === 0 && head) throw malformed(path, "sampler_head", "false without MASK rows", "true");
  if (masks === 0 && entryLayer > 0) throw malformed(path, "entry_layer", "0 without MASK rows", `${entryLayer}`);
  return {
    masks,
    hasSamplerHead: head,
    draftVocabularySize: draft === undefined ? undefined : count("draft_vocabulary", 1, draft),
    entryLayer,
    nMedusaHeads,
    baseSha256: sha,
    training: training === undefined ? undefined : requireObject(training, path, "training"),
  };
}

function openIdlmPart(folder: string): OpenedIdlmPart {
  const config = readIdlmConfig(join(folder, CONFIG_NAME));
  const path = join(folder, WEIGHTS_NAME);
  const file = openSafetensors(path, `${CONFIG_NAME} requires it.`);
  try {
    const { tensors } = file;
    const known = new Set([...tensorNames, ...medusaNames(config.nMedusaHeads)]);
    const unknown = [...tensors.keys()].find((name) => !known.has(name) && !isScale(name, tensors));
    if (unknown !== undefined) throw malformed(path, `tensor ${quote(unknown)}`, [...known].join(", "), "another");

    const mask = config.masks === 0 ? undefined : findMaskEmbedding(tensors, path);
    if (mask !== undefined && (mask.nDepths !== config.masks || mask.sharedByDepth)) {
      const found = mask.sharedByDepth ? "one vector" : `${mask.nDepths} rows`;
      throw malformed(path, 'tensor "mask_embedding"', `${config.masks} rows, as in ${CONFIG_NAME}`, found);
    }
    const hiddenSize = mask?.hiddenSize ?? tensors.get("medusa.0.bias")?.shape[0] ?? 1;
    for (const name of medusaNames(config.nMedusaHeads)) {
      checkShape(tensors, name, name.endsWith("bias") ? [hiddenSize] : [hiddenSize, hiddenSize], path);
    }
    if (config.hasSamplerHead) {
      checkShape(tensors, "sampler_head.w1", [hiddenSize, 2 * hiddenSize], path);
      checkShape(tensors, "sampler_head.w2", [hiddenSize, hiddenSize], path);
    }
    if (config.entryLayer > 0) checkShape(tensors, "entry_scale", [1], path);
    if (config.draftVocabularySize !== undefined) findDraftVocabulary(tensors, config.draftVocabularySize, path);
    const { entryLayer, hasSamplerHead, draftVocabularySize, nMedusaHeads, baseSha256, training } = config;
    return { file, mask, entryLayer, hasSamplerHead, draftVocabularySize, nMedusaHeads, baseSha256, training };
  } catch (error) {
    file.close();
    throw error;
  }
}

/** medusa.0.weight, medusa.0.bias, … */
function medusaNames(nHeads: number): string[] {
  return Array.from({ length: nHeads }, (_, k) => [`medusa.${k}.weight`, `medusa.${k}.bias`]).flat();
}

function readIdlmPart(opened: OpenedIdlmPart): IdlmPart {
  const { file, mask, entryLayer, hasSamplerHead, draftVocabularySize, nMedusaHeads, baseSha256, training } = opened;
  const { path, tensors } = file;
  const read = (name: string) => readFloats(tensors.get(name) as StoredTensor, tensors, path);
  return {
    maskEmbedding: mask && readMaskEmbedding(tensors, path),
    entryLayer,
    entryScale: entryLayer > 0 ? (read("entry_scale")[0] ?? 1) : 1,
    draftVocabulary:
      draftVocabularySize === undefined ? undefined : readDraftVocabulary(tensors, draftVocabularySize, path),
    samplerHead: hasSamplerHead ? { w1: read("sampler_head.w1"), w2: read("sampler_head.w2") } : undefined,
    medusaHeads: Array.from({ length: nMedusaHeads }, (_, k) => {
      return { weight: read(`medusa.${k}.weight`), bias: read(`medusa.${k}.bias`) };
    }),
    baseSha256,
    training,
  };
}

/** Checks that a tensor that the config requires exists and has this shape. */
function checkShape(
  tensors: ReadonlyMap<string, StoredTensor>,
  name: string,
  shape: readonly number[],
  path: string,
): void {
  const tensor = tensors.get(name);
  const expected = `shape [${shape.join(", ")}]`;
  if (tensor === undefined)
    throw malformed(path, `tensor ${quote(name)}`, expected, `no such tensor, though ${CONFIG_NAME} requires it`);
  if (tensor.shape.join() !== shape.join()) {
    throw malformed(path, `tensor ${quote(name)}`, expected, `[${tensor.shape.join(", ")}]`);
  }
  checkFloats(tensor, tensors, path);
}

const DRAFT_FIELD = 'tensor "draft_vocabulary"';

function findDraftVocabulary(tensors: ReadonlyMap<string, StoredTensor>, size: number, path: string): StoredTensor {
  const tensor = tensors.get("draft_vocabulary");
  const found = tensor === undefined ? "nothing" : `${tensor.type} [${tensor.shape.join(", ")}]`;
  if (
    tensor === undefined ||
    tensor.shape.length !== 1 ||
    tensor.shape[0] !== size ||
    !["I32", "I64"].includes(tensor.type)
  ) {
    throw malformed(path, DRAFT_FIELD, `I32 or I64 [${size}]`, found);
  }
  return tensor;
}

function readDraftVocabulary(
  tensors: ReadonlyMap<string, StoredTensor>,
  size: number,
  path: string,
): Int32Array<ArrayBuffer> {
  const { bytes, type } = findDraftVocabulary(tensors, size, path);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const ids = new Int32Array(size);
  let previous = -1;
  for (let i = 0; i < size; i++) {
    const id = type === "I32" ? view.getInt32(4 * i, true) : Number(view.getBigInt64(8 * i, true));
    if (id <= previous || id > MAX_ID)
      throw malformed(path, DRAFT_FIELD, "ids from 0, ascending", `${id} after ${previous}`);
    ids[i] = id;
    previous = id;
  }
  return ids;
}
