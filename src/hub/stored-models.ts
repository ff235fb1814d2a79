import { lstat, readdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { IdlmError } from "../errors.ts";
import { cacheFolder } from "./store/cache-folder.ts";
import { glance } from "./store/check-model.ts";
import { cacheError, locksFolder, makeLocksFolder, makeTemporary, modelKey, removeTemporary } from "./store/folders.ts";
import { acquireLock, isLocked } from "./store/lock.ts";
import { type ModelFolder, modelFolders } from "./store/model-folder.ts";
import type { ModelSource, StoredKind, StoredModel } from "./store/stored-model.ts";

/**
 * ready: it was checked and looks the same since. unchecked: it has the right length, and is checked when it is used.
 * damaged: a file is missing or has another length, or one too many is there; `pull` mends it. fetching: another process is
 * at it. incomplete: a pull did not come to its end; the next one goes on. unknown: nothing that a pull has left.
 */
export type StoredState = "ready" | "unchecked" | "damaged" | "fetching" | "incomplete" | "unknown";

/** A model in the cache, or something else in its place. */
export interface ListedModel {
  readonly name: string;
  readonly state: StoredState;
  readonly kind?: StoredKind;
  /** Where it is opened; its folder where it cannot be. */
  readonly path: string;
  /** Bytes of all files that are there. */
  readonly nBytes: number;
  readonly source?: ModelSource;
}

/** What lies in the cache, by name. No file of a model is read. Errors: "file-unreadable". */
export async function listModels(cache: string = cacheFolder()): Promise<ListedModel[]> {
  const listed = await Promise.all(modelFolders(cache).map(describeModel));
  return listed.toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

async function describeModel(folder: ModelFolder): Promise<ListedModel> {
  const nBytes = await folderBytes(folder.path);
  const isFetching = await isLocked(locksFolder(folder.cache), folder.key);
  try {
    const model = folder.read();
    const state = model && (await glance(folder, model));
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
 * Removes a model from the cache, with all that has come of it; returns how many bytes of files that were. A name is as
 * `listModels` gives it. Errors: "file-missing", "busy" (it is being fetched), "download" (the cache cannot be written to).
 */
export async function removeModel(
  name: string,
  options: { readonly cache?: string | undefined } = {},
): Promise<number> {
  const { cache = cacheFolder() } = options;
  const key = modelKey(name);
  const folder = modelFolders(cache).find((found) => found.key === key || found.key === name);
  if (folder === undefined) throw new IdlmError("file-missing", { path: name, hint: await whatIsThere(name, cache) });
  try {
    const lock = await acquireLock(await makeLocksFolder(cache), folder.key, { subject: name });
    try {
      const nBytes = await folderBytes(folder.path);
      // It goes at once and as a whole: what is left of a removal that was cut off lies where nobody looks for models.
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

async function whatIsThere(name: string, cache: string): Promise<string> {
  const names = (await listModels(cache)).map((model) => model.name).filter((other) => other.startsWith(`${name}:`));
  return names.length > 0 ? `In the cache are: ${names.join(", ")}.` : "idlm list shows what is in the cache.";
}

/** Bytes of all files below a path; links are not followed. */
async function folderBytes(path: string): Promise<number> {
  const found = await lstat(path).catch(() => undefined);
  if (found === undefined || found.isSymbolicLink()) return 0;
  if (!found.isDirectory()) return found.size;
  const names = await readdir(path).catch(() => []);
  const sizes = await Promise.all(names.map((name) => folderBytes(join(path, name))));
  return sizes.reduce((sum, size) => sum + size, 0);
}
