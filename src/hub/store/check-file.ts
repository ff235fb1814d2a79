import { constants } from "node:fs";
import { type FileHandle, open, stat } from "node:fs/promises";
import { readError } from "../../formats/files/file-error.ts";
import { createHasher, type Digest } from "./digest.ts";
import { type Stamp, stampOf } from "./stamps.ts";
import type { StoredFile } from "./stored-model.ts";

/** Enough for the hash to be the limit, little enough for progress to be shown. */
const CHUNK_BYTES = 1024 * 1024;

export interface CheckOptions {
  /** Told the bytes read so far. */
  readonly onProgress?: ((bytesDone: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What a file was found to be; `found` says it in an error message's words. */
export type FileState =
  | { readonly state: "right"; readonly stamp: Stamp }
  | { readonly state: "missing" }
  | { readonly state: "wrong"; readonly found: string };

/** How a file looks from outside; undefined where there is none. Links are followed: it is the content that counts. */
export async function lookAt(path: string): Promise<{ stamp: Stamp; isFile: boolean } | undefined> {
  try {
    const stats = await stat(path, { bigint: true });
    return { stamp: stampOf(stats), isFile: stats.isFile() };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR" || code === "ELOOP") return undefined;
    throw readError(path, error);
  }
}

/** Reads a file and says whether it is the one that is wanted. Errors: "file-unreadable", the signal's reason. */
export async function checkFile(path: string, file: StoredFile, options: CheckOptions = {}): Promise<FileState> {
  const seen = await lookAt(path);
  if (seen === undefined) return { state: "missing" };
  if (!seen.isFile) return { state: "wrong", found: "no regular file" };
  if (seen.stamp.nBytes !== String(file.nBytes))
    return { state: "wrong", found: `that of a file of ${seen.stamp.nBytes} bytes` };
  let handle: FileHandle | undefined;
  try {
    // Not blocking: what was a file a moment ago may be a pipe by now.
    handle = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
    const before = stampOf(await handle.stat({ bigint: true }));
    const hex = await hashHandle(handle, file.digest, file.nBytes, options);
    const after = stampOf(await handle.stat({ bigint: true }));
    if (before.modifiedNs !== after.modifiedNs || before.nBytes !== after.nBytes)
      return { state: "wrong", found: "changing while it is read" };
    return hex === file.digest.hex ? { state: "right", stamp: after } : { state: "wrong", found: hex };
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
