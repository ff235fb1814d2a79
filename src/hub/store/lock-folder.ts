import { createHash } from "node:crypto";
import { realpathSync } from "node:fs";
import { cacheFolder } from "./cache-folder.ts";
import { cacheError, makeLocksFolder } from "./folders.ts";
import { acquireLock, type Lock } from "./lock.ts";

/**
 * Locks a folder outside of the cache, so that one process writes to it. The lock lies in the cache: the folder has nothing
 * but results. Errors: "busy", "download" (the cache is not writable), "file-missing"; the signal's reason.
 */
export async function lockFolder(path: string, signal?: AbortSignal, cache: string = cacheFolder()): Promise<Lock> {
  try {
    const name = `folder-${createHash("sha256").update(realpathSync(path)).digest("hex").slice(0, 24)}`;
    return await acquireLock(await makeLocksFolder(cache), name, { subject: path, signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw cacheError(path, cache, error);
  }
}
