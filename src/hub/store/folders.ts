import { createHash, randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { copyFile, link, lstat, mkdir, open, readdir, rename, rm, stat, statfs, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { IdlmError } from "../../errors.ts";
import { isRunning } from "./lock.ts";

// The cache:
//   models/KEY/               one model of the catalogue: its file
//   models/KEY/               one model of a hub:
//     model.json              what it is, once all of it is there
//     CONTENT/                its files, in a folder named after their content: files never change in their place
//     plan.json, partial/     what is being fetched, and what has come of it so far, by digest
//   models/KEY/checked-*.json what was found right, see stamps.ts
//   locks/                see lock.ts
//   tmp/                  what nobody looks for: work in progress and what is being removed

/** Temporary folders of processes that were killed are removed when they are this old. */
const STALE_MS = 60 * 60 * 1000;
const MAX_SLUG_LENGTH = 80;

const MODELS = "models";
const LOCKS = "locks";
const TEMPORARY = "tmp";

/** Where models lie, or one of them. */
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
 * The folder's name for a model's name: readable, and by its hash another one for every name on every file system
 * (some do not tell "A" from "a"). A name of the catalogue is its own.
 */
export function modelKey(name: string): string {
  if (/^[a-z0-9][a-z0-9.-]*$/.test(name)) return name;
  const slug = name.replace(/[^A-Za-z0-9._]+/g, "-").slice(0, MAX_SLUG_LENGTH);
  return `${slug}-${createHash("sha256").update(name).digest("hex").slice(0, 12)}`;
}

/**
 * Makes folders inside of the cache, `names` one below the other, and returns the last one's path. A link in the place
 * of one is refused: what is written or removed through it would lie elsewhere. Errors: "file-unwritable" for a link;
 * the file system's.
 */
async function makeFolder(cache: string, ...names: readonly string[]): Promise<string> {
  await mkdir(cache, { recursive: true });
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

/** Makes a folder inside of a model's; whatever else is in its place is removed: of a link the link, not what it leads to. */
export async function makeRealFolder(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (found?.isDirectory()) return;
  if (found !== undefined) await rm(path, { force: true });
  await mkdir(path);
}

async function requireRealFolder(path: string): Promise<void> {
  const found = await lstat(path);
  if (found.isDirectory()) return;
  const reason = found.isSymbolicLink()
    ? "it is a link, and nothing is written through one; set IDLM_HOME to move the cache"
    : "it is no folder";
  throw new IdlmError("file-unwritable", { path, reason });
}

/** A new folder of a name of its own below `tmp`; what killed processes left there long ago is removed on the way. */
export async function makeTemporary(cache: string): Promise<string> {
  const parent = await makeFolder(cache, TEMPORARY);
  await removeStale(parent);
  const path = join(parent, `${hostname()}-${process.pid}-${randomBytes(6).toString("hex")}`);
  await mkdir(path);
  return path;
}

/** Removes a temporary folder. What cannot be removed now goes with the stale ones; no failure is hidden by it. */
export async function removeTemporary(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true, maxRetries: 3 }).catch(() => {});
}

async function removeStale(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const own = name.startsWith(`${hostname()}-`) ? /-(\d+)-[0-9a-f]{12}$/.exec(name)?.[1] : undefined;
    const path = join(folder, name);
    const age = Date.now() - ((await stat(path).catch(() => undefined))?.mtimeMs ?? Date.now());
    if (own !== undefined && !isRunning(Number(own)) && age > STALE_MS) await removeTemporary(path);
  }
}

/** Makes the content of `from` appear at `to` too, without a copy where the file system can. Best effort. */
export async function shareFile(from: string, to: string): Promise<void> {
  await link(from, to)
    .catch(() => copyFile(from, to, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE))
    .catch(() => {});
}

/** Errors: "download" where the disk of `path` has no room for `nBytes`. What it does not say is not checked. */
export async function requireSpace(name: string, path: string, nBytes: number): Promise<void> {
  const disk = await statfs(path).catch(() => undefined);
  const free = disk === undefined ? Infinity : disk.bavail * disk.bsize;
  if (nBytes <= free) return;
  const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
  const reason = `${megabytes(nBytes)} are to be fetched, and the disk of ${path} has ${megabytes(free)} free`;
  throw new IdlmError("download", { name, reason, hint: "Make room, or set IDLM_HOME to a folder elsewhere." });
}

/** Writes a file so that there is either the old one or all of the new one, also after a power cut. */
export async function replaceFile(path: string, text: string): Promise<void> {
  const temporary = `${path}.${randomBytes(6).toString("hex")}.tmp`;
  try {
    await writeFile(temporary, text, { flag: "wx", flush: true });
    // A folder in its place could not be renamed over.
    if ((await lstat(path).catch(() => undefined))?.isDirectory()) await rm(path, { recursive: true, force: true });
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    throw error;
  }
}

/** Makes renames in a folder last. Not every platform can (Windows): then they last when it likes. */
export async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, "r").catch(() => undefined);
  await handle?.sync().catch(() => {});
  await handle?.close();
}

/**
 * Turns an error of the file system that came up while the cache was written to into one of the catalogue; gives back
 * any other.
 */
export function cacheError(name: string, cache: string, error: unknown): unknown {
  if (!(error instanceof Error) || !("syscall" in error)) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  const full = code === "ENOSPC" || code === "EDQUOT";
  const reason = full ? "its disk is full" : (code ?? message);
  const hint = full
    ? "Make room and try again: what has come so far is kept. Or set IDLM_HOME to a folder elsewhere."
    : "Set IDLM_HOME to a folder that can.";
  return new IdlmError("download", { name, reason: `the cache ${cache} cannot be written to: ${reason}`, hint }, error);
}
