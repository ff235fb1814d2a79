import { type Stats, statSync } from "node:fs";
import { join } from "node:path";
import { IdlmError } from "../errors.ts";
import { fileError } from "../formats/map-file.ts";
import { cacheFolder } from "./cache-folder.ts";
import { type CatalogueEntry, catalogueHint, findEntry } from "./catalogue.ts";
import { cachedPath } from "./pull.ts";
import { type VerifyOptions, verify } from "./verified-file.ts";

/** What a user's MODEL stands for. */
export interface ModelLocation {
  /** A GGUF file, or a folder with `config.json` and safetensors. */
  readonly kind: "gguf" | "huggingface";
  readonly path: string;
  /** For a name of the catalogue. */
  readonly catalogueEntry?: CatalogueEntry;
}

/**
 * A catalogue name (whose file has to be in the cache; see `pull`), a GGUF file or a Hugging Face folder. A name goes
 * before a file of that name: write ./NAME for the file.
 * Errors: "file-missing", "checksum" (the cached file is another one), "unsupported" (neither of the two kinds).
 */
export async function resolveModel(
  model: string,
  options: VerifyOptions & { readonly cache?: string } = {},
): Promise<ModelLocation> {
  const entry = findEntry(model);
  return entry === undefined ? resolvePath(model) : resolveEntry(entry, options);
}

async function resolveEntry(
  entry: CatalogueEntry,
  { cache = cacheFolder(), ...options }: VerifyOptions & { readonly cache?: string },
): Promise<ModelLocation> {
  const path = cachedPath(entry, cache);
  const { state, sha256 } = await verify(path, entry, options);
  const hint = `Fetch it with: idlm pull ${entry.name}`;
  if (state === "missing") throw new IdlmError("file-missing", { path, hint });
  if (state === "wrong")
    throw new IdlmError("checksum", { path, found: sha256 ?? "another", expected: entry.file.sha256, hint });
  return { kind: "gguf", path, catalogueEntry: entry };
}

function resolvePath(path: string): ModelLocation {
  const found = statOf(path);
  if (found === undefined) throw new IdlmError("file-missing", { path, hint: catalogueHint() });
  if (!found.isDirectory()) {
    // Its content is looked at by the reader; only what is sure to be wrong is named here.
    if (!/\.(safetensors|json|bin|pt|pth)$/i.test(path)) return { kind: "gguf", path };
    throw new IdlmError("unsupported", {
      path,
      feature: "this file as a model",
      hint: "Name a GGUF file, or the folder with config.json.",
    });
  }
  if (statOf(join(path, "config.json")) === undefined) {
    throw new IdlmError("file-missing", {
      path: join(path, "config.json"),
      hint: "A model folder holds it, and model.safetensors.",
    });
  }
  return { kind: "huggingface", path };
}

function statOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch (error) {
    throw fileError(path, error);
  }
}
