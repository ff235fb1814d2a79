import { existsSync, mkdirSync, statSync } from "node:fs";
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

/**
 * Makes a folder, and those above it. Errors: those of the file system. One by one, because the `recursive` of Node.js
 * never returns where a folder cannot be made for the reason ENOENT (in /proc), and names other reasons so, too.
 */
export function makeFolders(path: string): void {
  if (isFolder(path)) return;
  const above = dirname(path);
  if (above !== path && !existsSync(above)) makeFolders(above);
  try {
    mkdirSync(path);
  } catch (error) {
    // Another process may have made it meanwhile.
    if ((error as NodeJS.ErrnoException).code !== "EEXIST" || !isFolder(path)) throw error;
  }
}

const isFolder = (path: string) => statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
