import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { IdlmError } from "../../errors.ts";
import { readError } from "../../formats/files/file-error.ts";
import { malformed, quote } from "../../formats/files/malformed.ts";
import { type CatalogueEntry, findEntry } from "../catalogue.ts";
import { cacheFolder } from "./cache-folder.ts";
import { modelKey, modelsFolder } from "./folders.ts";
import { readManifest, type StoredModel } from "./stored-model.ts";

/** One model's folder in the cache. */
export class ModelFolder {
  readonly cache: string;
  readonly key: string;
  readonly path: string;

  constructor(cache: string, key: string) {
    this.cache = cache;
    this.key = key;
    this.path = modelsFolder(cache, key);
  }

  static of(cache: string, name: string): ModelFolder {
    return new ModelFolder(cache, modelKey(name));
  }

  /** Manifest of the complete model. */
  get manifestPath(): string {
    return join(this.path, "model.json");
  }

  /** Manifest of a download in progress, or interrupted. */
  get planPath(): string {
    return join(this.path, "plan.json");
  }

  /** Folder of partial files. */
  get partialPath(): string {
    return join(this.path, "partial");
  }

  pathOf({ path }: { readonly path: string }): string {
    return join(this.path, ...path.split("/"));
  }

  /** The path to open. */
  entryPath({ entry }: StoredModel): string {
    return join(this.path, ...entry.split("/"));
  }

  /** The manifest of the complete model; undefined if there is none. Errors: "file-malformed", "file-unreadable". */
  read(): StoredModel | undefined {
    const entry = findEntry(this.key);
    if (entry !== undefined) return catalogueModel(entry);
    return this.#read(this.manifestPath);
  }

  /** The manifest of a download in progress; undefined if there is none. Errors: those of `read`. */
  readPlan(): StoredModel | undefined {
    return this.#read(this.planPath);
  }

  #read(path: string): StoredModel | undefined {
    if (!existsSync(path)) return undefined;
    const model = readManifest(path);
    // Rejects a folder that was copied or renamed.
    if (modelKey(model.name) !== this.key)
      throw malformed(path, "name", `the name of the folder ${quote(this.key)}`, quote(model.name));
    return model;
  }
}

/** The manifest of a catalogue model, which is not stored: it follows from the catalogue. */
export function catalogueModel({ name, file, sources }: CatalogueEntry): StoredModel {
  const digest = { algorithm: "sha256", hex: file.sha256 } as const;
  const files = [{ path: file.name, nBytes: file.nBytes, digest }];
  const { packageName = "", version = "" } = sources[0] ?? {};
  return { name, kind: "gguf", source: { kind: "pip", packageName, version }, entry: file.name, files };
}

/** All model folders of the cache, sorted by name; empty if there is no cache yet. Errors: "file-unreadable". */
export function modelFolders(cache: string): ModelFolder[] {
  try {
    const names = readdirSync(modelsFolder(cache));
    return names.toSorted().map((key) => new ModelFolder(cache, key));
  } catch (error) {
    const failure = readError(modelsFolder(cache), error);
    if (failure instanceof IdlmError && failure.code === "file-missing") return [];
    throw failure;
  }
}

/** The path of a catalogue model once it has been pulled. */
export function cachedPath(entry: CatalogueEntry, cache: string = cacheFolder()): string {
  return ModelFolder.of(cache, entry.name).entryPath(catalogueModel(entry));
}
