import { realpathSync } from "node:fs";
import { isAbsolute, join, relative } from "node:path";
import { IdlmError } from "../../errors.ts";

/**
 * The path of a file in a model or adapter folder. A symbolic link that points outside of the folder is rejected:
 * otherwise a downloaded folder could make any file of this machine part of a model. The exception is the Hugging Face
 * cache, where REPO/snapshots/REVISION links to REPO/blobs. Does not check that the file exists.
 * Errors: "file-unreadable".
 */
export function fileInFolder(folder: string, name: string): string {
  const path = join(folder, name);
  const target = realPath(path);
  const root = realPath(folder);
  if (target === undefined || root === undefined) return path;
  const repository = /^(.*)[\\/]snapshots[\\/][^\\/]/.exec(root)?.[1];
  const roots = repository === undefined ? [root] : [root, join(repository, "blobs")];
  if (roots.some((from) => isInside(from, target))) return path;
  throw new IdlmError("file-unreadable", { path, reason: "it is a link that points outside of its folder" });
}

/** Undefined if the path does not exist, its links form a cycle, or a folder cannot be read. */
function realPath(path: string): string | undefined {
  try {
    return realpathSync.native(path);
  } catch {
    return undefined;
  }
}

function isInside(folder: string, path: string): boolean {
  const inner = relative(folder, path);
  return !isAbsolute(inner) && inner.split(/[\\/]/)[0] !== "..";
}
