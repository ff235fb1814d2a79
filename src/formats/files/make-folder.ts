import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { IdlmError } from "../../errors.ts";
import { writeError } from "./file-error.ts";

/** Makes a folder, and those above it. @throws IdlmError "file-unwritable". */
export function makeFolder(path: string): void {
  try {
    makeFolders(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EEXIST") throw new IdlmError("file-unwritable", { path, reason: "it is not a folder" }, error);
    if (code === "ENOTDIR")
      throw new IdlmError("file-unwritable", { path, reason: "a folder above it is a file" }, error);
    throw writeError(path, error);
  }
}

/** Makes a folder, and those above it. Errors: those of the file system. */
export function makeFolders(path: string): void {
  try {
    mkdirSync(path, { recursive: true });
  } catch (error) {
    // Node.js gives this code for others, such as that of a file system that is read-only.
    throw (error as NodeJS.ErrnoException).code === "ENOENT" ? (reasonAt(path) ?? error) : error;
  }
}

/** The error of the outermost folder that cannot be made. */
function reasonAt(path: string): unknown {
  const above = dirname(path);
  const outer = above === path ? undefined : reasonAt(above);
  if (outer !== undefined) return outer;
  try {
    mkdirSync(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === "EEXIST" ? undefined : error;
  }
  return undefined;
}
