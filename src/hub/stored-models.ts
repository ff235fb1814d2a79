import { lstat, readdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { IdlmError } from "../errors.ts";
import { cacheFolder } from "./store/cache-folder.ts";
import { quickState } from "./store/check-model.ts";
import { cacheError, locksFolder, makeLocksFolder, makeTemporary, modelKey, removeTemporary } from "./store/folders.ts";
import { acquireLock, isLocked } from "./store/lock.ts";
import { type ModelFolder, modelFolders } from "./store/model-folder.ts";
import type { ModelSource, StoredKind, StoredModel } from "./store/stored-model.ts";

/**
 * ready: verified, and unchanged since. unchecked: sizes match; verified when it is used. damaged: a file is missing, has
 * the wrong size, or there is an extra file; `pull` repairs it. fetching: being downloaded by another process. incomplete:
 * an interrupted pull, which the next one resumes. unknown: not created by a pull.
 */
export type StoredState = "ready" | "unchecked" | "damaged" | "fetching" | "incomplete" | "unknown";

/** A model in the cache, or another folder there. */
export interface ListedModel {
  readonly name: string;
  readonly state: StoredState;
  readonly kind?: StoredKind;
  /** The path to open; the model's folder if it cannot be opened. */
  readonly path: string;
  /** Total size of its files on disk. */
  readonly nBytes: number;
  readonly source?: ModelSource;
}

/** Lists the cache, sorted by name, without reading model files. Errors: "file-unreadable". */
export async function listModels(cache: string = cacheFolder()): Promise<ListedModel[]> {
  const listed = await Promise.all(modelFolders(cache).map(describeModel));
  return listed.toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

async function describeModel(folder: ModelFolder): Promise<ListedModel> {
  const nBytes = await folderBytes(folder.path);
  const isFetching = await isLocked(locksFolder(folder.cache), folder.key);
  try {
    const model = folder.read();
    const state = model && (await quickState(folder, model));
    const facts = ({ name, kind, source }: StoredModel) => ({ name, kind, source, nBytes });
    if (model !== undefined && state !== undefined && state !== "damaged")
      return { ...facts(model), state, path: folder.entryPath(model) };
    const known = model ?? folder.readPlan();
    const problem = model === undefined ? "incomplete" : "damaged";
    if (known !== undefined) return { ...facts(known), state: isFetching ? "fetching" : problem, path: folder.path };
  } catch (error) {
    if (!(error instanceof IdlmError)) throw error;
  }
  return { name: folder.key, state: isFetching ? "fetching" : "unknown", path: folder.path, nBytes };
}

/**
 * Removes a model from the cache, including partial downloads; returns the bytes freed. `name` is one from `listModels`.
 * Errors: "file-missing", "busy" (it is being downloaded), "download" (the cache is not writable).
 */
export async function removeModel(
  name: string,
  options: { readonly cache?: string | undefined } = {},
): Promise<number> {
  const { cache = cacheFolder() } = options;
  const key = modelKey(name);
  const folder = modelFolders(cache).find((found) => found.key === key || found.key === name);
  if (folder === undefined) throw new IdlmError("file-missing", { path: name, hint: await cachedHint(name, cache) });
  try {
    const lock = await acquireLock(await makeLocksFolder(cache), folder.key, { subject: name });
    try {
      const nBytes = await folderBytes(folder.path);
      // Moved away in one step, so that an interrupted removal leaves no partial model behind.
      const temporary = await makeTemporary(cache);
      await rename(folder.path, join(temporary, "removed"));
      await removeTemporary(temporary);
      return nBytes;
    } finally {
      await lock.release();
    }
  } catch (error) {
    throw cacheError(name, cache, error);
  }
}

async function cachedHint(name: string, cache: string): Promise<string> {
  const names = (await listModels(cache)).map((model) => model.name).filter((other) => other.startsWith(`${name}:`));
  return names.length > 0 ? `The cache has ${names.join(", ")}.` : "idlm list shows the models in the cache.";
}

/** Total size of all files below a path; links are not followed. */
async function folderBytes(path: string): Promise<number> {
  const found = await lstat(path).catch(() => undefined);
  if (found === undefined || found.isSymbolicLink()) return 0;
  if (!found.isDirectory()) return found.size;
  const names = await readdir(path).catch(() => []);
  const sizes = await Promise.all(names.map((name) => folderBytes(join(path, name))));
  return sizes.reduce((sum, size) => sum + size, 0);
}
