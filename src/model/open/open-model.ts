import { IdlmError } from "../../errors.ts";
import { type FolderText, readFolderText } from "../../formats/files/folder-text.ts";
import { type GgufFile, type GgufValue, openGguf } from "../../formats/gguf/gguf.ts";
import { type GgufVocabulary, readGgufVocabulary } from "../../formats/gguf/gguf-vocabulary.ts";
import { type JsonObject, readJsonObject } from "../../formats/files/json.ts";
import { malformed, quote } from "../../formats/files/malformed.ts";
import { fileInFolder } from "../../formats/files/model-folder.ts";
import { openSafetensorsFolder } from "../../formats/safetensors/safetensors-shards.ts";
import { ggufKeys } from "../../formats/keys/gguf-keys.ts";
import { configKeys, tokenizerConfigKeys, tokenizerKeys } from "../../formats/keys/huggingface-keys.ts";
import { checkKeys, type KeyTable, unknownKeysWarning } from "../../formats/keys/key-table.ts";
import type { StoredTensor, TensorFile } from "../../formats/tensor/tensor.ts";
import { floatTypes, weightTypes } from "../../formats/tensor/tensor-type.ts";
import type { ModelConfig } from "../config/config.ts";
import { configFromGguf, ggufKeyName } from "../config/gguf-config.ts";
import { configFromHuggingFace } from "../config/huggingface-config.ts";
import { ggufName, weightShapes } from "./weight-names.ts";

/** A stored weight of a model, and the order in which its rows are used. */
export interface ModelWeight {
  readonly tensor: StoredTensor;
  readonly rowOrder?: Int32Array;
}

/** An opened model: its config, and its weights by Hugging Face's names. The files stay open until `close`. */
export interface OpenedModel {
  readonly kind: "gguf" | "huggingface";
  readonly path: string;
  readonly config: ModelConfig;
  readonly weights: ReadonlyMap<string, ModelWeight>;
  /** Metadata of a GGUF file, which includes its tokenizer and chat template. */
  readonly metadata: ReadonlyMap<string, GgufValue> | undefined;
  /** Vocabulary of a GGUF file, if it has one. */
  readonly vocabulary: GgufVocabulary | undefined;
  /** Tokenizer files of a folder. */
  readonly text: FolderText | undefined;
  /** Keys of its files that are not known. */
  readonly warnings: readonly string[];
  close(): void;
}

/**
 * Opens a GGUF file or a Hugging Face folder, reading headers only, and checks that every weight exists in its shape and
 * that the vocabulary is valid and fits the model. All commands open models with this function, so that they reject the
 * same files. Does not check whether the tokenizer type is supported.
 * @throws IdlmError "file-missing", "file-malformed", "unsupported", like the readers.
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
    // The divisors of the rotary embedding are part of the config; old files store its angles for each layer.
    isIgnored: (name) => name === "rope_freqs.weight" || /^blk\.\d+\.attn_rot_embd$/.test(name),
  });
  const vocabulary = readGgufVocabulary(metadata, path, config.vocabSize);
  const close = () => file.close();
  const unknown = checkKeys(metadata, ggufKeys, path, (key) => ggufKeyName(key, config.architecture));
  const warnings = [unknownKeysWarning(path, unknown)].filter((warning) => warning !== undefined);
  return { kind: "gguf", path, config, weights, metadata, vocabulary, text: undefined, warnings, close };
}

function openHuggingFaceModel(path: string): OpenedModel {
  const config = configFromHuggingFace(...readConfig(path));
  const file = openSafetensorsFolder(path);
  return guarded(file, () => modelOfFolder(path, config, file));
}

/** A model folder's `config.json`, and its path. */
export function readConfig(folder: string): [JsonObject, string] {
  const path = fileInFolder(folder, "config.json");
  return [readJsonObject(path, {}, "A model folder requires it."), path];
}

/** The model of a folder whose weights have been opened; `close` closes them. @throws the errors of `openModel`. */
export function modelOfFolder(path: string, stated: ModelConfig, file: TensorFile): OpenedModel {
  const config = stated.isTied && hasOtherHead(file) ? { ...stated, isTied: false } : stated;
  const weights = collect(config, file, {
    storedName: (name) => name,
    rowOrder: () => undefined,
    // Heads of other tasks, a copy of a tied embedding, and rotary angles in old files.
    isIgnored: (name) =>
      !/^(model|lm_head)\./.test(name) ||
      (config.isTied && name === "lm_head.weight") ||
      name.endsWith(".rotary_emb.inv_freq"),
  });
  const text = readFolderText(path, config.vocabSize);
  const close = () => file.close();
  const nothing = { metadata: undefined, vocabulary: undefined };
  return { kind: "huggingface", path, config, weights, ...nothing, text, warnings: folderWarnings(path, text), close };
}

/** Warnings of unknown keys in a folder's files. */
function folderWarnings(folder: string, text: FolderText): string[] {
  const files: readonly (readonly [KeyTable, JsonObject])[] = [
    [configKeys, readConfig(folder)[0]],
    [tokenizerConfigKeys, text.tokenizerConfig],
    [tokenizerKeys, text.tokenizerJson ?? {}],
  ];
  return files.flatMap(([table, json]) => {
    const path = fileInFolder(folder, table.file);
    return unknownKeysWarning(path, checkKeys(Object.entries(json), table, path)) ?? [];
  });
}

/**
 * Whether a model that says that its output matrix is the embedding has another one: weights that are there and differ
 * are not tied (transformers 5).
 */
function hasOtherHead({ tensors }: TensorFile): boolean {
  const head = tensors.get("lm_head.weight");
  const embedding = tensors.get("model.embed_tokens.weight");
  if (head === undefined || embedding === undefined) return false;
  if (head.type !== embedding.type || head.shape.join() !== embedding.shape.join()) return true;
  return Buffer.compare(head.bytes, embedding.bytes) !== 0;
}

function guarded<T>(file: TensorFile, open: () => T): T {
  try {
    return open();
  } catch (error) {
    file.close();
    throw error;
  }
}

/** How a file format stores a model's weights. */
interface Layout {
  /** The stored name of a weight, from Hugging Face's name. */
  readonly storedName: (name: string) => string;
  readonly rowOrder: (name: string) => Int32Array | undefined;
  /** Whether a stored tensor may be ignored. */
  readonly isIgnored: (storedName: string) => boolean;
}

/** Collects the weights of a config; missing and extra ones are errors. */
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
  // An extra bias, norm or layer would change the logits, so it must not be ignored silently.
  const stray = [...file.tensors.keys()].find((name) => !used.has(name) && !isIgnored(name));
  if (stray !== undefined) {
    const feature = `the tensor ${quote(stray)} in a model of ${config.architecture} with ${config.nLayers} layers`;
    throw new IdlmError("unsupported", { path: file.path, feature, hint: "" });
  }
  return weights;
}

/**
 * GGUF's llama layout stores the rows of q and k so that neighbours (2i, 2i + 1) rotate together; the program rotates
 * halves (i, i + headDim / 2). Row i of the program is row order[i] of the file.
 */
export function rotationOrder(config: ModelConfig, name: string): Int32Array | undefined {
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
