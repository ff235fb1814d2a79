import { constants } from "node:fs";
import { type FileHandle, open, stat } from "node:fs/promises";
import { readError } from "../../formats/files/file-error.ts";
import { createHasher, type Digest } from "./digest.ts";
import { type Stamp, stampOf } from "./stamps.ts";
import type { StoredFile } from "./stored-model.ts";

/** Large enough that hashing is the bottleneck, small enough for smooth progress. */
const CHUNK_BYTES = 1024 * 1024;

export interface CheckOptions {
  /** Receives the bytes read so far. */
  readonly onProgress?: ((bytesDone: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Result of a check; `found` is worded for an error message. */
export type FileState =
  | { readonly state: "valid"; readonly stamp: Stamp }
  | { readonly state: "missing" }
  | { readonly state: "invalid"; readonly found: string };

/** The stamp of a file, following links; undefined if it does not exist. */
export async function fileStatus(path: string): Promise<{ stamp: Stamp; isFile: boolean } | undefined> {
  try {
    const stats = await stat(path, { bigint: true });
    return { stamp: stampOf(stats), isFile: stats.isFile() };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR" || code === "ELOOP") return undefined;
    throw readError(path, error);
  }
}

/** Reads a file and compares its size and digest. Errors: "file-unreadable", the signal's reason. */
export async function checkFile(path: string, file: StoredFile, options: CheckOptions = {}): Promise<FileState> {
  const status = await fileStatus(path);
  if (status === undefined) return { state: "missing" };
  if (!status.isFile) return { state: "invalid", found: "not a regular file" };
  if (status.stamp.nBytes !== String(file.nBytes))
    return { state: "invalid", found: `that of a file of ${status.stamp.nBytes} bytes` };
  let handle: FileHandle | undefined;
  try {
    // Non-blocking, in case the file has been replaced by a named pipe.
    handle = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
    const before = stampOf(await handle.stat({ bigint: true }));
    const hex = await hashHandle(handle, file.digest, file.nBytes, options);
    const after = stampOf(await handle.stat({ bigint: true }));
    if (before.modifiedNs !== after.modifiedNs || before.nBytes !== after.nBytes)
      return { state: "invalid", found: "changing while it is read" };
    return hex === file.digest.hex ? { state: "valid", stamp: after } : { state: "invalid", found: hex };
  } catch (error) {
    options.signal?.throwIfAborted();
    throw readError(path, error);
  } finally {
    await handle?.close();
  }
}

async function hashHandle(
  handle: FileHandle,
  digest: Digest,
  nBytes: number,
  { onProgress, signal }: CheckOptions,
): Promise<string> {
  const hash = createHasher(digest, nBytes);
  const chunk = Buffer.allocUnsafe(Math.max(1, Math.min(CHUNK_BYTES, nBytes)));
  for (let done = 0; done < nBytes; ) {
    signal?.throwIfAborted();
    const { bytesRead } = await handle.read(chunk, 0, chunk.length, done);
    if (bytesRead === 0) break;
    hash.update(chunk.subarray(0, bytesRead));
    done += bytesRead;
    onProgress?.(done);
  }
  return hash.digest("hex");
}
