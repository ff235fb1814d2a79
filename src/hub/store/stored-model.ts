import { type JsonObject, kindOf, readJsonObject, requireObject } from "../../formats/files/json.ts";
import { malformed, quote } from "../../formats/files/malformed.ts";
import { type Digest, parseDigest } from "./digest.ts";
import { isSafePath } from "./safe-path.ts";

/** gguf and huggingface are models; adapter is an adapter folder; file is any other file of a repository. */
export type StoredKind = "gguf" | "huggingface" | "adapter" | "file";

/** Where a model came from. */
export type ModelSource =
  | {
      readonly kind: "hub";
      readonly endpoint: string;
      readonly repository: string;
      /** The requested branch, tag or commit. */
      readonly revision: string;
      /** Its commit when it was downloaded. */
      readonly commit: string;
    }
  | { readonly kind: "pip"; readonly packageName: string; readonly version: string };

export interface StoredFile {
  /** Below the model's folder, with "/". */
  readonly path: string;
  readonly nBytes: number;
  readonly digest: Digest;
}

/** Manifest of a model in the cache: everything that is needed to verify it. */
export interface StoredModel {
  /** A catalogue name, ORG/REPO or ORG/REPO:FILE. */
  readonly name: string;
  readonly kind: StoredKind;
  readonly source: ModelSource;
  /** The path to open: one of the files, or the folder that holds them all. */
  readonly entry: string;
  readonly files: readonly StoredFile[];
}

const FORMAT = 1;
/** A thousand shards take 300 kB. */
const MAX_MANIFEST_BYTES = 4 * 1024 * 1024;
const MAX_MANIFEST_DEPTH = 4;
/** Published models of 700 GB have fewer than 200 files. Leaves room for the largest number of shards and other files. */
export const MAX_MODEL_FILES = 1100;
const MAX_TEXT_LENGTH = 2000;
const kinds: readonly StoredKind[] = ["gguf", "huggingface", "adapter", "file"];

/** A manifest as JSON. */
export function manifestText(model: StoredModel): string {
  const files = model.files.map(({ path, nBytes, digest }) => ({ path, nBytes, ...digest }));
  return `${JSON.stringify({ format: FORMAT, ...model, files }, null, 2)}\n`;
}

/**
 * Reads a manifest, which is untrusted: all paths are checked to lie inside the model's folder.
 * Errors: "file-missing", "file-unreadable", "file-malformed".
 */
export function readManifest(path: string): StoredModel {
  const json = readJsonObject(path, { maxBytes: MAX_MANIFEST_BYTES, maxDepth: MAX_MANIFEST_DEPTH });
  if (json.format !== FORMAT) throw malformed(path, "format", String(FORMAT), kindOf(json.format));
  const kind = kinds.find((known) => known === json.kind);
  if (kind === undefined) throw malformed(path, "kind", `one of ${kinds.join(", ")}`, kindOf(json.kind));
  const source = readSource(requireObject(json.source, path, "source"), path);
  if (!Array.isArray(json.files) || json.files.length === 0 || json.files.length > MAX_MODEL_FILES)
    throw malformed(path, "files", `an array of 1 to ${MAX_MODEL_FILES}`, kindOf(json.files));
  const files = json.files.map((file: unknown, i) => readFile(requireObject(file, path, `files[${i}]`), path, i));
  const entry = readText(json, "entry", path);
  const isFile = kind === "gguf" || kind === "file";
  const fits = files.some((file) => (isFile ? file.path === entry : file.path.startsWith(`${entry}/`)));
  if (!fits) throw malformed(path, "entry", isFile ? "one of files" : "the folder of files", quote(entry));
  return { name: readText(json, "name", path), kind, source, entry, files };
}

function readFile(file: JsonObject, manifest: string, i: number): StoredFile {
  const { path, nBytes, algorithm, hex } = file;
  if (typeof path !== "string" || !isSafePath(path))
    throw malformed(manifest, `files[${i}].path`, "a path inside the model's folder", kindOf(path));
  if (typeof nBytes !== "number" || !Number.isSafeInteger(nBytes) || nBytes < 0)
    throw malformed(manifest, `files[${i}].nBytes`, "a whole number", kindOf(nBytes));
  const digest = parseDigest(algorithm, hex);
  if (digest === undefined) throw malformed(manifest, `files[${i}]`, "a known algorithm and its digest", kindOf(hex));
  return { path, nBytes, digest };
}

function readSource(source: JsonObject, path: string): ModelSource {
  const text = (field: string) => readText(source, field, path);
  if (source.kind === "pip") return { kind: "pip", packageName: text("packageName"), version: text("version") };
  if (source.kind !== "hub") throw malformed(path, "source.kind", "hub or pip", kindOf(source.kind));
  return {
    kind: "hub",
    endpoint: text("endpoint"),
    repository: text("repository"),
    revision: text("revision"),
    commit: text("commit"),
  };
}

function readText(json: JsonObject, field: string, path: string): string {
  const value = json[field];
  if (typeof value !== "string" || value === "" || value.length > MAX_TEXT_LENGTH || /\p{Cc}/u.test(value))
    throw malformed(path, field, "a printable string", kindOf(value));
  return value;
}
