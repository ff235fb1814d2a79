import { IdlmError } from "../../errors.ts";
import { kindOf, readJsonObject, requireObject } from "../../formats/files/json.ts";
import { malformed, quote } from "../../formats/files/malformed.ts";
import { type HubName, nameText } from "../model-name.ts";
import { isSafePath } from "../store/safe-path.ts";
import type { StoredKind } from "../store/stored-model.ts";
import type { Listing, RepositoryFile } from "./listing.ts";

/** The files to download from a repository. */
export interface Selection {
  readonly kind: StoredKind;
  /** The file to open; undefined: the folder with all files. */
  readonly entry: string | undefined;
  readonly files: readonly RepositoryFile[];
  /** For sharded weights: the index, which must be read to know the shards. */
  readonly index: RepositoryFile | undefined;
}

const CONFIG = "config.json";
const WEIGHTS = "model.safetensors";
const INDEX = "model.safetensors.index.json";
/** Optional files of a model folder. */
const modelNeighbours = [
  "generation_config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "vocab.json",
  "merges.txt",
  "chat_template.jinja",
  "chat_template.json",
  "additional_chat_templates/tool_use.jinja",
];
const ADAPTER_CONFIG = "adapter_config.json";
const ADAPTER_WEIGHTS = "adapter_model.safetensors";
const adapterNeighbours = ["idlm_config.json", "idlm.safetensors"];
/** GGUF files that are not language models: image encoders, importance matrices. */
const notAModel = /(?:^|\/)(?:mmproj|imatrix)[^/]*$|imatrix\.gguf$/i;
const splitName = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/i;
/** Model names that an error message lists. */
const MAX_CHOICES = 12;

/**
 * Selects the files of a repository that a name refers to. Errors: "usage" if the name is ambiguous, "download" if there
 * is no such file.
 */
export function selectFiles(name: HubName, listing: Listing): Selection {
  const choices = [...listing.files.values()].filter(({ path }) => isSafePath(path));
  const ggufs = choices.filter(({ path }) => /\.gguf$/i.test(path) && !notAModel.test(path));
  if (name.selector !== undefined) return selectOne(name, name.selector, listing, ggufs);
  return selectAdapter(listing) ?? selectFolder(listing) ?? selectGguf(name, listing, ggufs);
}

/** The shards listed in an index. Errors: "file-malformed". */
export function shardsOf(indexPath: string, listing: Listing): RepositoryFile[] {
  const weightMap = requireObject(readJsonObject(indexPath).weight_map, indexPath, "weight_map");
  return [...new Set(Object.values(weightMap))].map((shard) => {
    const file = typeof shard === "string" && isSafePath(shard) ? listing.files.get(shard) : undefined;
    if (file === undefined || !/\.safetensors$/i.test(file.path))
      throw malformed(indexPath, "weight_map", "safetensors files of the repository", kindOf(shard));
    return file;
  });
}

function selectFolder({ files }: Listing): Selection | undefined {
  const config = files.get(CONFIG);
  const index = files.get(INDEX);
  const weights = index ?? files.get(WEIGHTS);
  if (config === undefined || weights === undefined) return undefined;
  const neighbours = modelNeighbours.flatMap((path) => files.get(path) ?? []);
  return { kind: "huggingface", entry: undefined, files: [config, ...neighbours, weights], index };
}

function selectAdapter({ files }: Listing): Selection | undefined {
  const required = [ADAPTER_CONFIG, ADAPTER_WEIGHTS].flatMap((path) => files.get(path) ?? []);
  if (required.length < 2 || files.has(CONFIG)) return undefined;
  const neighbours = adapterNeighbours.flatMap((path) => files.get(path) ?? []);
  return { kind: "adapter", entry: undefined, files: [...required, ...neighbours], index: undefined };
}

function selectOne(name: HubName, selector: string, listing: Listing, ggufs: readonly RepositoryFile[]): Selection {
  const file = listing.files.get(selector);
  if (file !== undefined) {
    if (/\.gguf$/i.test(selector)) return gguf(name, file, listing);
    // Any file may be downloaded: only GGUF and safetensors are ever read, so no code in it can run.
    return { kind: "file", entry: file.path, files: [file], index: undefined };
  }
  const matching = ggufs.filter(({ path }) => hasQuantisation(path, selector));
  if (matching.length > 0) return selectGguf(name, listing, matching);
  const hint = ggufs.length === 0 ? "It has no GGUF file." : choose(name, ggufs);
  throw new IdlmError("download", { name: nameText(name), reason: "the repository has no such file", hint });
}

function selectGguf(name: HubName, listing: Listing, ggufs: readonly RepositoryFile[]): Selection {
  const models = ggufs.filter(isFirstPart);
  const [only] = models;
  if (only !== undefined && models.length === 1) return gguf(name, only, listing);
  if (models.length > 1) {
    const problem = `${nameText(name)} has ${models.length} GGUF files`;
    throw new IdlmError("usage", { problem, hint: choose(name, models) });
  }
  const pickled = [...listing.files.keys()].some((path) => /\.(?:bin|pt|pth)$/i.test(path));
  const reason = "the repository has no config.json with model.safetensors, no adapter and no GGUF file";
  throw new IdlmError("download", {
    name: nameText(name),
    reason,
    hint: pickled ? "Its weights are pickle files (.bin, .pt), which may contain code and are not supported." : "",
  });
}

/** A GGUF file with all of its parts. */
function gguf(name: HubName, file: RepositoryFile, listing: Listing): Selection {
  const [, stem, , total] = splitName.exec(file.path) ?? [];
  if (stem === undefined || Number(total) === 0)
    return { kind: "gguf", entry: file.path, files: [file], index: undefined };
  const parts = Array.from({ length: Number(total) }, (_, i) => {
    const path = `${stem}-${String(i + 1).padStart(5, "0")}-of-${total}${file.path.slice(-".gguf".length)}`;
    const part = listing.files.get(path);
    if (part === undefined) {
      const reason = `the repository lacks ${quote(path)}, another part of this model`;
      throw new IdlmError("download", { name: nameText(name), reason });
    }
    return part;
  });
  const [first = file] = parts;
  return { kind: "gguf", entry: first.path, files: parts, index: undefined };
}

function isFirstPart({ path }: RepositoryFile): boolean {
  const part = splitName.exec(path)?.[2];
  return part === undefined || Number(part) === 1;
}

/** Whether a part of the file's name is the quantisation: Q4_K_M in model-Q4_K_M.gguf, but not Q4_K. */
export function hasQuantisation(path: string, quantisation: string): boolean {
  const parts = path.replace(/(?:-\d{5}-of-\d{5})?\.gguf$/i, "").split(/[-./]/);
  return parts.some((part) => part.toLowerCase() === quantisation.toLowerCase());
}

function choose({ repository }: HubName, files: readonly RepositoryFile[]): string {
  const names = files.filter(isFirstPart).map(({ path }) => `${repository}:${path}`);
  const more = names.length > MAX_CHOICES ? ` and ${names.length - MAX_CHOICES} more` : "";
  return `Choose: ${names.slice(0, MAX_CHOICES).join(", ")}${more}.`;
}
