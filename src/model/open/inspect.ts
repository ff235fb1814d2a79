import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { IdlmError } from "../../errors.ts";
import { type OpenedAdapter, openAdapter } from "../../formats/adapter/adapter.ts";
import { type GgufFile, type GgufValue, openGguf } from "../../formats/gguf/gguf.ts";
import { readGgufVocabulary } from "../../formats/gguf/gguf-vocabulary.ts";
import { readError } from "../../formats/files/file-error.ts";
import { ByteFile } from "../../formats/files/map-file.ts";
import { fileInFolder } from "../../formats/files/model-folder.ts";
import { openSafetensors, type SafetensorsFile } from "../../formats/safetensors/safetensors.ts";
import { openSafetensorsFolder, openShardedSafetensors } from "../../formats/safetensors/safetensors-shards.ts";
import type { FileTensor } from "../../formats/tensor/stored-tensor.ts";
import type { StoredFile } from "../../formats/tensor/tensor.ts";
import type { TensorType } from "../../formats/tensor/tensor-type.ts";
import type { StatedConfig } from "../config/config.ts";
import { statedGgufConfig } from "../config/gguf-config.ts";
import { configFromHuggingFace, statedHuggingFaceConfig } from "../config/huggingface-config.ts";
import { modelOfFolder, modelOfGguf, type OpenedModel, readConfig } from "./open-model.ts";
import { checkGgufTokenizer, checkTokenizerJson } from "../../tokenizer/index.ts";

/** What a path contains, read from headers only. */
export interface Inspection {
  readonly path: string;
  /** container: a file of tensors that is neither a complete model nor an adapter. */
  readonly kind: "model" | "adapter" | "container";
  readonly format: "gguf" | "huggingface" | "peft" | "safetensors";
  readonly files: readonly StoredFile[];
  /** The model's config: checked if the model can be run, else as stated in the file. */
  readonly model?: StatedConfig;
  readonly tokenizer?: TokenizerFacts;
  readonly adapter?: AdapterFacts;
  /** The container's keys; those of the first file for a split or sharded model. */
  readonly metadata: ReadonlyMap<string, GgufValue>;
  /** In the order of the files. */
  readonly tensors: readonly TensorFacts[];
  /** Why the model or adapter cannot be used. "unsupported": it is valid, but of an unsupported kind. */
  readonly problem?: IdlmError;
}

export interface TensorFacts {
  readonly name: string;
  readonly type: TensorType;
  /** Slowest dimension first. */
  readonly shape: readonly number[];
  readonly nBytes: number;
  readonly file: string;
  /** From the start of the file. */
  readonly offset: number;
}

export interface TokenizerFacts {
  /** The type in the file: "gpt2", "BPE". */
  readonly model: string;
  readonly pre?: string;
  readonly nTokens: number;
  readonly nMerges?: number;
  readonly hasChatTemplate: boolean;
}

export interface AdapterFacts {
  readonly baseModel?: string;
  readonly baseSha256?: string;
  /** The default rank; modules with a rank pattern differ (see `ranks`). Absent without a LoRA. */
  readonly rank?: number;
  readonly alpha?: number;
  readonly usesRslora?: boolean;
  readonly nModules: number;
  /** The ranks of all modules, ascending, without duplicates. */
  readonly ranks: readonly number[];
  /** This and the following are absent for a folder with PEFT's files only. */
  readonly depths?: number;
  readonly entryLayer?: number;
  readonly hasSamplerHead?: boolean;
  readonly draftVocabularySize?: number;
  readonly medusaHeads?: number;
}

/**
 * Inspects a GGUF file (with all parts of a split one), a Hugging Face folder, an adapter folder, a safetensors file or the
 * index of a sharded model. Reads headers, configs and vocabularies only.
 * @throws IdlmError "file-missing", "file-unreadable", "file-malformed", "unsupported" if the files cannot be read. A valid
 * container with an invalid model is returned with a `problem`.
 */
export function inspectPath(path: string): Inspection {
  if (isFolder(path)) return isAdapter(path) ? inspectAdapter(path) : inspectFolder(path);
  if (path.endsWith(".index.json")) return inspectContainer(openShardedSafetensors(path));
  return formatOf(path) === "gguf" ? inspectGguf(path) : inspectContainer(openSafetensors(path));
}

function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch (error) {
    throw readError(path, error, "Name a model, an adapter, a GGUF file or a safetensors file.");
  }
}

/** A folder with a complete model and an adapter's files counts as a model, as for loading. */
function isAdapter(folder: string): boolean {
  const has = (name: string) => existsSync(join(folder, name));
  return (has("adapter_config.json") || has("idlm_config.json")) && !has("config.json");
}

/** By file extension, else by the first bytes. */
function formatOf(path: string): "gguf" | "safetensors" {
  if (/\.gguf$/i.test(path)) return "gguf";
  if (/\.safetensors$/i.test(path)) return "safetensors";
  const file = new ByteFile(path);
  const begin = Buffer.from(file.read(0, Math.min(9, file.size)));
  file.close();
  if (begin.toString("latin1", 0, 4) === "GGUF") return "gguf";
  // The length of the header as u64, then its brace.
  if (begin.length === 9 && begin.toString("latin1", 8) === "{") return "safetensors";
  throw new IdlmError("unsupported", {
    path,
    feature: "this file",
    hint: "Supported are GGUF and safetensors files, model folders and adapter folders.",
  });
}

function inspectGguf(path: string): Inspection {
  const file = openGguf(path);
  try {
    const { metadata } = file;
    const isModel = (metadata.get("general.type") ?? "model") === "model" && file.tensors.size > 0;
    const [model, problem] = attempt(() => (isModel ? modelOfGguf(file) : undefined));
    const [vocabulary, vocabularyProblem] = attempt(() => model?.vocabulary ?? readGgufVocabulary(metadata, path));
    const [, kindProblem] = attempt(() => vocabulary && checkGgufTokenizer(vocabulary, path));
    const wrong = problem ?? vocabularyProblem ?? kindProblem;
    return {
      ...factsOf(file),
      kind: isModel ? "model" : "container",
      format: "gguf",
      model: model?.config ?? statedGgufConfig(file),
      ...(vocabulary && {
        tokenizer: {
          model: vocabulary.model,
          ...(vocabulary.pre !== undefined && { pre: vocabulary.pre }),
          nTokens: vocabulary.tokens.length,
          nMerges: vocabulary.merges.length,
          hasChatTemplate: vocabulary.chatTemplate !== undefined,
        },
      }),
      ...(wrong && { problem: wrong }),
    };
  } finally {
    file.close();
  }
}

function inspectFolder(path: string): Inspection {
  const [json, configPath] = readConfig(path);
  const file = openSafetensorsFolder(path);
  try {
    const [model, problem] = attempt(() => modelOfFolder(path, configFromHuggingFace(json, configPath), file));
    const tokenizerJson = model?.text?.tokenizerJson;
    const [, kindProblem] = attempt(
      () => tokenizerJson && checkTokenizerJson(tokenizerJson, fileInFolder(path, "tokenizer.json")),
    );
    const wrong = problem ?? kindProblem;
    return {
      ...factsOf(file),
      path,
      kind: "model",
      format: "huggingface",
      model: model?.config ?? statedHuggingFaceConfig(json),
      ...tokenizerOfFolder(model),
      ...(wrong && { problem: wrong }),
    };
  } finally {
    file.close();
  }
}

function tokenizerOfFolder(model: OpenedModel | undefined): { readonly tokenizer?: TokenizerFacts } {
  const json = model?.text?.tokenizerJson;
  if (json === undefined) return {};
  const hasChatTemplate = model?.text?.chatTemplate !== undefined;
  const { type, vocab, merges } = json.model;
  // Only BPE has been checked; for other types just the name and a count are read.
  if (type !== "BPE") {
    return { tokenizer: { model: String(type), nTokens: Object.keys(vocab ?? {}).length, hasChatTemplate } };
  }
  const ids = new Set([...Object.values(vocab), ...json.added_tokens.map(({ id }) => id)]);
  return { tokenizer: { model: type, nTokens: ids.size, nMerges: merges.length, hasChatTemplate } };
}

function inspectAdapter(path: string): Inspection {
  const [adapter, problem] = attempt(() => openAdapter(path));
  if (adapter === undefined) {
    // The tensors of a valid adapter of an unsupported type can still be listed.
    const weights = fileInFolder(path, "adapter_model.safetensors");
    if (problem?.code !== "unsupported" || !existsSync(weights)) throw problem;
    return { ...inspectContainer(openSafetensors(weights)), path, kind: "adapter", format: "peft", problem };
  }
  try {
    const { peft, idlm } = adapter;
    const parts = [peft, idlm].filter((part) => part !== undefined).map(({ file }) => factsOf(file));
    return {
      path,
      kind: "adapter",
      format: "peft",
      files: parts.flatMap(({ files }) => files),
      metadata: parts[0]?.metadata ?? new Map(),
      tensors: parts.flatMap(({ tensors }) => tensors),
      adapter: adapterFacts(adapter),
    };
  } finally {
    adapter.close();
  }
}

function adapterFacts({ peft, idlm }: OpenedAdapter): AdapterFacts {
  const ranks = new Set([...(peft?.modules.values() ?? [])].map((module) => module.rank));
  return {
    ...(peft?.config.baseModel !== undefined && { baseModel: peft.config.baseModel }),
    ...(idlm?.baseSha256 !== undefined && { baseSha256: idlm.baseSha256 }),
    ...(peft && { rank: peft.config.rank, alpha: peft.config.alpha, usesRslora: peft.config.useRslora }),
    nModules: peft?.modules.size ?? 0,
    ranks: [...ranks].sort((a, b) => a - b),
    ...(idlm?.mask && {
      depths: idlm.mask.nDepths,
      entryLayer: idlm.entryLayer,
      hasSamplerHead: idlm.hasSamplerHead,
    }),
    ...(idlm?.draftVocabularySize !== undefined && { draftVocabularySize: idlm.draftVocabularySize }),
    ...(idlm && idlm.nMedusaHeads > 0 && { medusaHeads: idlm.nMedusaHeads }),
  };
}

function inspectContainer(file: SafetensorsFile): Inspection {
  try {
    return { ...factsOf(file), kind: "container", format: "safetensors" };
  } finally {
    file.close();
  }
}

function factsOf({ path, files, metadata, tensors }: GgufFile | SafetensorsFile) {
  const facts = ({ name, type, shape, nBytes, path: file, offset }: FileTensor) => {
    return { name, type, shape, nBytes, file, offset };
  };
  return { path, files, metadata, tensors: [...tensors.values()].map(facts) };
}

/** The result of `make`, or the error of the catalogue that it throws. */
function attempt<T>(make: () => T): [T, undefined] | [undefined, IdlmError] {
  try {
    return [make(), undefined];
  } catch (error) {
    if (error instanceof IdlmError) return [undefined, error];
    throw error;
  }
}
