import { realpathSync } from "node:fs";
import { isAbsolute, join, relative } from "node:path";
import { IdlmError } from "../../errors.ts";

/**
 * The path of a file of a model's (or an adapter's) folder. What the folder's own files name, or what is looked for in
 * it by name, may be a link; one that leads out of the folder is refused: a folder from elsewhere could make anything
 * of this machine part of a model. The caches of model hubs are the exception: REPO/snapshots/REVISION links to
 * REPO/blobs. Errors: "file-unreadable". That the file exists is for whoever opens it.
 */
export function fileInFolder(folder: string, name: string): string {
  const path = join(folder, name);
  const target = realPath(path);
  const root = realPath(folder);
  if (target === undefined || root === undefined) return path;
  const repository = /^(.*)[\\/]snapshots[\\/][^\\/]/.exec(root)?.[1];
  const roots = repository === undefined ? [root] : [root, join(repository, "blobs")];
  if (roots.some((from) => isInside(from, target))) return path;
  throw new IdlmError("file-unreadable", { path, reason: "it is a link that leads out of its folder" });
}

/** Undefined where nothing is there, links lead in circles, or a folder may not be looked into. */
function realPath(path: string): string | undefined {
  try {
    return realpathSync.native(path);
  } catch {
    return undefined;
  }
}

function isInside(folder: string, path: string): boolean {
  const way = relative(folder, path);
  return !isAbsolute(way) && way.split(/[\\/]/)[0] !== "..";
}
