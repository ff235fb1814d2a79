import type { Hash } from "node:crypto";
import { constants } from "node:fs";
import { copyFile, type FileHandle, lstat, open, readFile, rename, rm, writeFile } from "node:fs/promises";
import { createHasher, type Digest } from "../store/digest.ts";
import { type Stamp, stampOf } from "../store/stamps.ts";

/** Large enough that hashing is the bottleneck. */
const CHUNK_BYTES = 1024 * 1024;
/** The hub's ETags have 66 characters. */
const MAX_TAG_LENGTH = 256;

export interface PartialOptions {
  readonly digest: Digest;
  readonly nBytes: number;
  /** Whether another process may still have the file open; then its content is copied to a new file. */
  readonly mayBeOpenElsewhere: boolean;
  readonly onProgress?: ((bytesDone: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * A partly downloaded file, on disk and hashed, which can be resumed after a dropped connection or a killed process. The
 * server's ETag of the content is stored beside it.
 */
export class PartialFile {
  readonly path: string;
  readonly #handle: FileHandle;
  readonly #options: PartialOptions;
  #hash: Hash;
  #length = 0;
  #tag: string | undefined;

  /** Opens and hashes an existing partial file; deletes it if it cannot be resumed. */
  static async open(path: string, options: PartialOptions): Promise<PartialFile> {
    const found = await lstat(path).catch(() => undefined);
    // A symbolic link could point to, and a hard link share, an unrelated file.
    const isOurs = found?.isFile() === true && found.nlink === 1 && found.size <= options.nBytes;
    if (!isOurs) await rm(path, { recursive: true, force: true });
    else if (options.mayBeOpenElsewhere) await copyAside(path);
    const noFollow = constants.O_NOFOLLOW ?? 0;
    const handle = await open(path, constants.O_RDWR | constants.O_CREAT | noFollow, 0o644);
    const partial = new PartialFile(path, handle, options);
    try {
      await partial.#readExisting();
    } catch (error) {
      await handle.close();
      throw error;
    }
    return partial;
  }

  private constructor(path: string, handle: FileHandle, options: PartialOptions) {
    this.path = path;
    this.#handle = handle;
    this.#options = options;
    this.#hash = createHasher(options.digest, options.nBytes);
  }

  /** Bytes downloaded. */
  get length(): number {
    return this.#length;
  }

  /** The server's ETag of the content; undefined if it sent none. */
  get tag(): string | undefined {
    return this.#tag;
  }

  async append(chunk: Uint8Array): Promise<void> {
    for (let done = 0; done < chunk.length; ) {
      const { bytesWritten } = await this.#handle.write(chunk, done, chunk.length - done, this.#length + done);
      done += bytesWritten;
    }
    this.#hash.update(chunk);
    this.#length += chunk.length;
  }

  /** Starts over, with content of this ETag. */
  async restart(tag?: string): Promise<void> {
    await this.#handle.truncate(0);
    this.#length = 0;
    this.#hash = createHasher(this.#options.digest, this.#options.nBytes);
    this.#tag = tag !== undefined && isTag(tag) ? tag : undefined;
    await rm(this.#tagPath, { force: true, recursive: true });
    if (this.#tag !== undefined) await writeFile(this.#tagPath, this.#tag, { flag: "wx" });
  }

  /** The hash of all bytes. Ends hashing: only `restart` may follow. */
  digest(): string {
    return this.#hash.digest("hex");
  }

  /** Flushes the file to disk and returns its stamp. */
  async finish(): Promise<Stamp> {
    await this.#handle.sync();
    await rm(this.#tagPath, { force: true, recursive: true });
    return stampOf(await this.#handle.stat({ bigint: true }));
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }

  async remove(): Promise<void> {
    await rm(this.path, { force: true });
    await rm(this.#tagPath, { force: true, recursive: true });
  }

  get #tagPath(): string {
    return `${this.path}.tag`;
  }

  async #readExisting(): Promise<void> {
    const { nBytes, onProgress, signal } = this.#options;
    const chunk = Buffer.allocUnsafe(Math.max(1, Math.min(CHUNK_BYTES, nBytes)));
    while (this.#length < nBytes) {
      signal?.throwIfAborted();
      const length = Math.min(chunk.length, nBytes - this.#length);
      const { bytesRead } = await this.#handle.read(chunk, 0, length, this.#length);
      if (bytesRead === 0) break;
      this.#hash.update(chunk.subarray(0, bytesRead));
      this.#length += bytesRead;
      onProgress?.(this.#length);
    }
    this.#tag = await readTag(this.#tagPath);
  }
}

/** Copies the content to a new file, so that a process that has the old one open cannot write to it. */
async function copyAside(path: string): Promise<void> {
  await rm(`${path}.copy`, { recursive: true, force: true });
  await copyFile(path, `${path}.copy`, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
  await rename(`${path}.copy`, path);
}

async function readTag(path: string): Promise<string | undefined> {
  const found = await lstat(path).catch(() => undefined);
  if (found?.isFile() !== true || found.size > MAX_TAG_LENGTH) return undefined;
  const tag = await readFile(path, "utf8").catch(() => "");
  return isTag(tag) ? tag : undefined;
}

/** Whether this is a valid entity tag (RFC 9110, section 8.8.3). */
function isTag(text: string): boolean {
  return text.length <= MAX_TAG_LENGTH && /^(?:W\/)?"[\x21\x23-\x7e]*"$/.test(text);
}
