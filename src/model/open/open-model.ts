import { IdlmError } from "../../errors.ts";
import { type FolderText, readFolderText } from "../../formats/files/folder-text.ts";
import { type GgufFile, type GgufValue, openGguf } from "../../formats/gguf/gguf.ts";
import { type GgufVocabulary, readGgufVocabulary } from "../../formats/gguf/gguf-vocabulary.ts";
import { type JsonObject, readJsonObject } from "../../formats/files/json.ts";
import { malformed, quote } from "../../formats/files/malformed.ts";
import { fileInFolder } from "../../formats/files/model-folder.ts";
import { openSafetensorsFolder } from "../../formats/safetensors/safetensors-shards.ts";
import type { StoredTensor, TensorFile } from "../../formats/tensor/tensor.ts";
import { floatTypes, weightTypes } from "../../formats/tensor/tensor-type.ts";
import type { ModelConfig } from "../config/config.ts";
import { configFromGguf } from "../config/gguf-config.ts";
import { configFromHuggingFace } from "../config/huggingface-config.ts";
import { ggufName, weightShapes } from "./weight-names.ts";

/** A weight of a model: as stored, and in which order its rows are used. */
export interface ModelWeight {
  readonly tensor: StoredTensor;
  readonly rowOrder?: Int32Array;
}

/** An opened model: its config and its weights by Hugging Face's names. The files stay open until `close`. */
export interface OpenedModel {
  readonly kind: "gguf" | "huggingface";
  readonly path: string;
  readonly config: ModelConfig;
  readonly weights: ReadonlyMap<string, ModelWeight>;
  /** A GGUF's metadata, which holds its tokenizer and chat template. */
  readonly metadata: ReadonlyMap<string, GgufValue> | undefined;
  /** A GGUF's vocabulary; undefined where it has none. */
  readonly vocabulary: GgufVocabulary | undefined;
  /** What a folder's files say of its text. */
  readonly text: FolderText | undefined;
  close(): void;
}

/**
 * Opens a GGUF file or a Hugging Face folder, reading headers only, and checks that every weight is there in its shape
 * and that the vocabulary is whole and fits the model. Whatever loads a model does it through here, so that all commands
 * refuse the same files; whether a whole tokenizer is of a kind that can be run is for whoever runs it.
 * @throws IdlmError "file-missing", "file-malformed", "unsupported", as the readers do.
 */
export function openModel(path: string, kind: "gguf" | "huggingface"): OpenedModel {
  return kind === "gguf" ? openGgufModel(path) : openHuggingFaceModel(path);
}

function openGgufModel(path: string): OpenedModel {
  const file = openGguf(path);
  return guarded(file, () => modelOfGguf(file));
}

/** The model of an opened GGUF file, whose `close` closes the file. @throws IdlmError "file-malformed", "unsupported". */
export function modelOfGguf(file: GgufFile): OpenedModel {
  const { path, metadata } = file;
  const config = configFromGguf(file);
  const weights = collect(config, file, {
    storedName: ggufName,
    rowOrder: (name) => rotationOrder(config, name),
    // The divisors of the rotary embedding are part of the config; old files have its angles for each layer.
    isIgnored: (name) => name === "rope_freqs.weight" || /^blk\.\d+\.attn_rot_embd$/.test(name),
  });
  const vocabulary = readGgufVocabulary(metadata, path, config.vocabSize);
  const close = () => file.close();
  return { kind: "gguf", path, config, weights, metadata, vocabulary, text: undefined, close };
}

function openHuggingFaceModel(path: string): OpenedModel {
  const config = configFromHuggingFace(...readConfig(path));
  const file = openSafetensorsFolder(path);
  return guarded(file, () => modelOfFolder(path, config, file));
}

/** A model folder's `config.json`, and its path. */
export function readConfig(folder: string): [JsonObject, string] {
  const path = fileInFolder(folder, "config.json");
  return [readJsonObject(path, {}, "A model folder holds it."), path];
}

/** The model of a folder whose weights are opened; `close` closes them. @throws IdlmError as `openModel` does. */
export function modelOfFolder(path: string, config: ModelConfig, file: TensorFile): OpenedModel {
  const weights = collect(config, file, {
    storedName: (name) => name,
    rowOrder: () => undefined,
    // Heads of other tasks, a copy of the embedding that is the output matrix, and angles that old files store.
    isIgnored: (name) =>
      !/^(model|lm_head)\./.test(name) ||
      (config.isTied && name === "lm_head.weight") ||
      name.endsWith(".rotary_emb.inv_freq"),
  });
  const text = readFolderText(path, config.vocabSize);
  const close = () => file.close();
  const nothing = { metadata: undefined, vocabulary: undefined };
  return { kind: "huggingface", path, config, weights, ...nothing, text, close };
}

function guarded<T>(file: TensorFile, open: () => T): T {
  try {
    return open();
  } catch (error) {
    file.close();
    throw error;
  }
}

/** How a kind of file stores a model's weights. */
interface Layout {
  /** By Hugging Face's name. */
  readonly storedName: (name: string) => string;
  readonly rowOrder: (name: string) => Int32Array | undefined;
  /** Whether a stored tensor may be there without being used. */
  readonly isIgnored: (storedName: string) => boolean;
}

/** All weights of a config, each of which has to be there, and no others. */
function collect(
  config: ModelConfig,
  file: TensorFile,
  { storedName, rowOrder, isIgnored }: Layout,
): Map<string, ModelWeight> {
  const weights = new Map<string, ModelWeight>();
  const used = new Set<string>();
  for (const [name, shape] of weightShapes(config)) {
    const stored = storedName(name);
    used.add(stored);
    const tensor = file.tensors.get(stored);
    const field = `tensor ${quote(stored)}`;
    const expected = `shape [${shape.join(", ")}]`;
    if (tensor === undefined) throw malformed(file.path, field, expected, "no such tensor");
    if (tensor.shape.length !== shape.length || tensor.shape.some((n, i) => n !== shape[i])) {
      throw malformed(file.path, field, expected, `[${tensor.shape.join(", ")}]`);
    }
    const types = shape.length > 1 ? weightTypes : floatTypes;
    if (!types.has(tensor.type)) {
      const hint = `Use a file in ${[...types].join(", ")}.`;
      throw new IdlmError("unsupported", { path: file.path, feature: `the type ${tensor.type} of ${field}`, hint });
    }
    const order = rowOrder(name);
    weights.set(name, order === undefined ? { tensor } : { tensor, rowOrder: order });
  }
  // Another bias, norm or layer would change the logits: a model without it would be another one, in silence.
  const stray = [...file.tensors.keys()].find((name) => !used.has(name) && !isIgnored(name));
  if (stray !== undefined) {
    const feature = `the tensor ${quote(stray)} in a model of ${config.architecture} with ${config.nLayers} layers`;
    throw new IdlmError("unsupported", { path: file.path, feature, hint: "" });
  }
  return weights;
}

/**
 * GGUF's llama stores the rows of q and k so that neighbours (2i, 2i + 1) rotate together; the program rotates halves
 * (i, i + headDim / 2). Row i as used is stored row order[i].
 */
function rotationOrder(config: ModelConfig, name: string): Int32Array | undefined {
  if (config.architecture !== "llama") return undefined;
  const match = /self_attn\.([qk])_proj\./.exec(name);
  if (match === null) return undefined;
  const nHeads = match[1] === "q" ? config.nHeads : config.nKvHeads;
  const half = config.headDim / 2;
  return Int32Array.from({ length: nHeads * config.headDim }, (_, row) => {
    const inHead = row % config.headDim;
    return row - inHead + (inHead < half ? 2 * inHead : 2 * (inHead - half) + 1);
  });
}
