import { createHash, randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { copyFile, link, lstat, mkdir, open, readdir, rename, rm, stat, statfs, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { IdlmError } from "../../errors.ts";
import { reasonOf } from "../../formats/files/file-error.ts";
import { makeFolders } from "../../formats/files/make-folder.ts";
import { isRunning } from "./lock.ts";

// The cache:
//   models/KEY/               a catalogue model: its file
//   models/KEY/               a hub model:
//     model.json              the manifest, written when the download is complete
//     CONTENT/                its files, in a folder named after their content, so that files never change
//     plan.json, partial/     the manifest of a download in progress, and its partial files by digest
//   models/KEY/checked-*.json verified files, see stamps.ts
//   locks/                    see lock.ts
//   tmp/                      work in progress, and models being removed

/** Age at which temporary folders of killed processes are removed. */
const STALE_MS = 60 * 60 * 1000;
const MAX_SLUG_LENGTH = 80;

const MODELS = "models";
const LOCKS = "locks";
const TEMPORARY = "tmp";

/** The folder of all models, or of one. */
export function modelsFolder(cache: string, ...key: readonly string[]): string {
  return join(cache, MODELS, ...key);
}

export function locksFolder(cache: string): string {
  return join(cache, LOCKS);
}

export function makeModelFolder(cache: string, key: string): Promise<string> {
  return makeFolder(cache, MODELS, key);
}

export function makeLocksFolder(cache: string): Promise<string> {
  return makeFolder(cache, LOCKS);
}

/**
 * The folder name of a model: readable, with a hash that keeps it unique, also on case-insensitive file systems. A
 * catalogue name is used unchanged.
 */
export function modelKey(name: string): string {
  if (/^[a-z0-9][a-z0-9.-]*$/.test(name)) return name;
  const slug = name.replace(/[^A-Za-z0-9._]+/g, "-").slice(0, MAX_SLUG_LENGTH);
  return `${slug}-${createHash("sha256").update(name).digest("hex").slice(0, 12)}`;
}

/**
 * Creates nested folders in the cache and returns the path of the innermost. A symbolic link in place of a folder is
 * rejected, because files would be written or removed elsewhere. Errors: "file-unwritable" for a link; file system errors.
 */
async function makeFolder(cache: string, ...names: readonly string[]): Promise<string> {
  makeFolders(cache);
  let path = cache;
  for (const name of names) {
    path = join(path, name);
    await mkdir(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "EEXIST") throw error;
    });
    await requireRealFolder(path);
  }
  return path;
}

/** Creates a folder inside a model's folder. Anything else at this path is removed; of a link only the link itself. */
export async function makeRealFolder(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (found?.isDirectory()) return;
  if (found !== undefined) await rm(path, { force: true });
  await mkdir(path);
}

async function requireRealFolder(path: string): Promise<void> {
  const found = await lstat(path);
  if (found.isDirectory()) return;
  const reason = found.isSymbolicLink() ? "it is a link; set IDLM_HOME to move the cache" : "it is not a folder";
  throw new IdlmError("file-unwritable", { path, reason });
}

/** Creates a folder with a unique name in `tmp`; also removes stale folders of killed processes. */
export async function makeTemporary(cache: string): Promise<string> {
  const parent = await makeFolder(cache, TEMPORARY);
  await removeStale(parent);
  const path = join(parent, `${hostname()}-${process.pid}-${randomBytes(6).toString("hex")}`);
  await mkdir(path);
  return path;
}

/** Removes a temporary folder. If that fails, it is removed later with the stale ones. */
export async function removeTemporary(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true, maxRetries: 3 }).catch(() => {});
}

async function removeStale(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const pid = name.startsWith(`${hostname()}-`) ? /-(\d+)-[0-9a-f]{12}$/.exec(name)?.[1] : undefined;
    const path = join(folder, name);
    const age = Date.now() - ((await stat(path).catch(() => undefined))?.mtimeMs ?? Date.now());
    if (pid !== undefined && !isRunning(Number(pid)) && age > STALE_MS) await removeTemporary(path);
  }
}

/** Links `to` to the content of `from`, or copies it if the file system cannot link. Best effort. */
export async function shareFile(from: string, to: string): Promise<void> {
  await link(from, to)
    .catch(() => copyFile(from, to, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE))
    .catch(() => {});
}

/** Errors: "download" if the disk of `path` has less than `nBytes` free. Not checked if the free space is unknown. */
export async function requireSpace(name: string, path: string, nBytes: number): Promise<void> {
  const disk = await statfs(path).catch(() => undefined);
  const free = disk === undefined ? Infinity : disk.bavail * disk.bsize;
  if (nBytes <= free) return;
  const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
  const reason = `it needs ${megabytes(nBytes)}, and the disk of ${path} has ${megabytes(free)} free`;
  throw new IdlmError("download", { name, reason, hint: "Free some space, or set IDLM_HOME to another disk." });
}

/** Writes a file atomically, also with respect to power failures. */
export async function replaceFile(path: string, text: string): Promise<void> {
  const temporary = `${path}.${randomBytes(6).toString("hex")}.tmp`;
  try {
    await writeFile(temporary, text, { flag: "wx", flush: true });
    // A rename cannot replace a folder.
    if ((await lstat(path).catch(() => undefined))?.isDirectory()) await rm(path, { recursive: true, force: true });
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    throw error;
  }
}

/** Flushes renames in a folder to disk, where the platform supports it (not on Windows). */
export async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, "r").catch(() => undefined);
  await handle?.sync().catch(() => {});
  await handle?.close();
}

/**
 * Converts a file system error while writing to the cache to an error of the catalogue; returns other errors unchanged.
 */
export function cacheError(name: string, cache: string, error: unknown): unknown {
  if (!(error instanceof Error) || !("syscall" in error)) return error;
  const { code } = error as NodeJS.ErrnoException;
  const full = code === "ENOSPC" || code === "EDQUOT";
  const reason = full ? "its disk is full" : reasonOf(error);
  const hint = full
    ? "Free some space and try again: partial downloads are kept. Or set IDLM_HOME to another disk."
    : "Set IDLM_HOME to a writable folder.";
  return new IdlmError("download", { name, reason: `cannot write to the cache ${cache}: ${reason}`, hint }, error);
}
