import { IdlmError } from "../../errors.ts";
import { kindOf, readJsonObject, requireObject } from "../../formats/files/json.ts";
import { malformed, quote } from "../../formats/files/malformed.ts";
import { type HubName, nameText } from "../model-name.ts";
import { isSafePath } from "../store/safe-path.ts";
import type { StoredKind } from "../store/stored-model.ts";
import type { Listing, RepositoryFile } from "./listing.ts";

/** What is fetched of a repository. */
export interface Selection {
  readonly kind: StoredKind;
  /** The file that is opened; undefined: the folder of all files. */
  readonly entry: string | undefined;
  readonly files: readonly RepositoryFile[];
  /** Weights in shards: the file that names them, which has to be read first. */
  readonly index: RepositoryFile | undefined;
}

const CONFIG = "config.json";
const WEIGHTS = "model.safetensors";
const INDEX = "model.safetensors.index.json";
/** What stands beside the weights of a model and is read where it is there. */
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
];
const ADAPTER_CONFIG = "adapter_config.json";
const ADAPTER_WEIGHTS = "adapter_model.safetensors";
const adapterNeighbours = ["idlm_config.json", "idlm.safetensors"];
/** GGUF files that are no language models: image encoders, importance matrices. */
const notAModel = /(?:^|\/)(?:mmproj|imatrix)[^/]*$|imatrix\.gguf$/i;
const splitName = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/i;
/** Model names that an error message lists. */
const MAX_CHOICES = 12;

/**
 * Which files of a repository a name means. Errors: "usage" where it does not say which one, "download" where there is
 * none.
 */
export function selectFiles(name: HubName, listing: Listing): Selection {
  const choices = [...listing.files.values()].filter(({ path }) => isSafePath(path));
  const ggufs = choices.filter(({ path }) => /\.gguf$/i.test(path) && !notAModel.test(path));
  if (name.selector !== undefined) return selectOne(name, name.selector, listing, ggufs);
  return selectAdapter(listing) ?? selectFolder(listing) ?? selectGguf(name, listing, ggufs);
}

/** The shards that an index names. Errors: "file-malformed". */
export function shardsOf(indexPath: string, listing: Listing): RepositoryFile[] {
  const weightMap = requireObject(readJsonObject(indexPath).weight_map, indexPath, "weight_map");
  return [...new Set(Object.values(weightMap))].map((shard) => {
    const file = typeof shard === "string" && isSafePath(shard) ? listing.files.get(shard) : undefined;
    const isWanted = file !== undefined && /\.safetensors$/i.test(file.path);
    if (!isWanted) throw malformed(indexPath, "weight_map", "safetensors files of the repository", kindOf(shard));
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
    // Nothing here runs what it holds: only GGUF and safetensors are ever read.
    return { kind: "file", entry: file.path, files: [file], index: undefined };
  }
  const matching = ggufs.filter(({ path }) => hasQuantisation(path, selector));
  if (matching.length > 0) return selectGguf(name, listing, matching);
  const hint = ggufs.length === 0 ? "It holds no GGUF file." : choose(name, ggufs);
  throw new IdlmError("download", { name: nameText(name), reason: "the repository holds no such file", hint });
}

function selectGguf(name: HubName, listing: Listing, ggufs: readonly RepositoryFile[]): Selection {
  const models = ggufs.filter(isFirstPart);
  const [only] = models;
  if (only !== undefined && models.length === 1) return gguf(name, only, listing);
  if (models.length > 1) {
    const problem = `${nameText(name)} means one of ${models.length} GGUF files`;
    throw new IdlmError("usage", { problem, hint: choose(name, models) });
  }
  const pickled = [...listing.files.keys()].some((path) => /\.(?:bin|pt|pth)$/i.test(path));
  const what = "config.json with model.safetensors, no adapter and no GGUF file";
  const reason = `the repository holds no ${what}`;
  throw new IdlmError("download", {
    name: nameText(name),
    reason,
    hint: pickled ? "Its weights are pickles (.bin, .pt), which can hold code and are not read." : "",
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
      const reason = `the repository holds no ${quote(path)}, which belongs to it`;
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

/** Whether a file's name has the quantisation as one of its parts: Q4_K_M in model-Q4_K_M.gguf, but not Q4_K. */
export function hasQuantisation(path: string, quantisation: string): boolean {
  const parts = path.replace(/(?:-\d{5}-of-\d{5})?\.gguf$/i, "").split(/[-./]/);
  return parts.some((part) => part.toLowerCase() === quantisation.toLowerCase());
}

function choose({ repository }: HubName, files: readonly RepositoryFile[]): string {
  const names = files.filter(isFirstPart).map(({ path }) => `${repository}:${path}`);
  const more = names.length > MAX_CHOICES ? ` and ${names.length - MAX_CHOICES} more` : "";
  return `Choose: ${names.slice(0, MAX_CHOICES).join(", ")}${more}.`;
}
