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

  /** Says that the model is there, and what it is. */
  get manifestPath(): string {
    return join(this.path, "model.json");
  }

  /** Says what is being fetched, or was when something went wrong. */
  get planPath(): string {
    return join(this.path, "plan.json");
  }

  /** Where what has come of files is collected. */
  get partialPath(): string {
    return join(this.path, "partial");
  }

  pathOf({ path }: { readonly path: string }): string {
    return join(this.path, ...path.split("/"));
  }

  /** Where the model is opened. */
  entryPath({ entry }: StoredModel): string {
    return join(this.path, ...entry.split("/"));
  }

  /** What has to lie here; undefined where nothing was fetched to its end. Errors: "file-malformed", "file-unreadable". */
  read(): StoredModel | undefined {
    const entry = findEntry(this.key);
    if (entry !== undefined) return catalogueModel(entry);
    return this.#read(this.manifestPath);
  }

  /** What was being fetched; undefined where there is nothing of it. Errors as of `read`. */
  readPlan(): StoredModel | undefined {
    return this.#read(this.planPath);
  }

  #read(path: string): StoredModel | undefined {
    if (!existsSync(path)) return undefined;
    const model = readManifest(path);
    // A folder that was copied or renamed must not speak for another model.
    if (modelKey(model.name) !== this.key)
      throw malformed(path, "name", `that of the folder ${quote(this.key)}`, quote(model.name));
    return model;
  }
}

/** A catalogue's model as it lies in the cache: its one file, whose digest needs no manifest. */
export function catalogueModel({ name, file, sources }: CatalogueEntry): StoredModel {
  const digest = { algorithm: "sha256", hex: file.sha256 } as const;
  const files = [{ path: file.name, nBytes: file.nBytes, digest }];
  const { packageName = "", version = "" } = sources[0] ?? {};
  return { name, kind: "gguf", source: { kind: "pip", packageName, version }, entry: file.name, files };
}

/** All folders of the cache, by name; none where there is no cache yet. Errors: "file-unreadable". */
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

/** Where a catalogue's file lies once it has been pulled. */
export function cachedPath(entry: CatalogueEntry, cache: string = cacheFolder()): string {
  return ModelFolder.of(cache, entry.name).entryPath(catalogueModel(entry));
}
