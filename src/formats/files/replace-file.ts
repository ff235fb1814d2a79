import { randomBytes } from "node:crypto";
import { closeSync, fsyncSync, ftruncateSync, openSync, renameSync, rmSync, writeSync } from "node:fs";
import { setImmediate as nextTurn } from "node:timers/promises";
import { writeError } from "./file-error.ts";

/** Most bytes per write call: Linux takes at most 2 GiB − 4 KiB. */
const WRITE_CHUNK_BYTES = 64 * 1024 * 1024;

/** The next bytes of a file; a number stands for that many zeros, which become a hole where the file system supports it. */
export type FilePiece = Uint8Array | number;

/**
 * Writes a file atomically, piece by piece: under a temporary name beside `path`, then flushed and renamed, so that
 * `path` is the old file or the complete new one. Errors: "file-unwritable", and what `pieces` throws.
 */
export function replaceFile(path: string, pieces: Iterable<FilePiece>): void {
  const file = new TemporaryFile(path);
  try {
    for (const piece of pieces) file.append(piece);
    file.commit();
  } finally {
    file.discard();
  }
}

/** Like `replaceFile`, for large files: yields to the event loop after each piece, and can be aborted by `signal`. */
export async function replaceFileInTurns(
  path: string,
  pieces: Iterable<FilePiece>,
  signal?: AbortSignal,
): Promise<void> {
  signal?.throwIfAborted();
  const file = new TemporaryFile(path);
  try {
    for (const piece of pieces) {
      file.append(piece);
      await nextTurn();
      signal?.throwIfAborted();
    }
    file.commit();
  } finally {
    file.discard();
  }
}

class TemporaryFile {
  readonly #path: string;
  readonly #temporary: string;
  readonly #descriptor: number;
  #size = 0;
  #isOpen = true;
  #exists = true;

  constructor(path: string) {
    this.#path = path;
    this.#temporary = `${path}.${randomBytes(6).toString("hex")}.tmp`;
    this.#descriptor = this.#inFileSystem(() => openSync(this.#temporary, "wx"));
  }

  append(piece: FilePiece): void {
    if (typeof piece === "number") {
      this.#size += piece;
      return;
    }
    this.#inFileSystem(() => {
      for (let done = 0; done < piece.length; ) {
        const length = Math.min(piece.length - done, WRITE_CHUNK_BYTES);
        const count = writeSync(this.#descriptor, piece, done, length, this.#size);
        done += count;
        this.#size += count;
      }
    });
  }

  /** Flushes the file and renames it to its final path. */
  commit(): void {
    this.#inFileSystem(() => {
      ftruncateSync(this.#descriptor, this.#size);
      fsyncSync(this.#descriptor);
      this.#close();
      renameSync(this.#temporary, this.#path);
      this.#exists = false;
    });
  }

  /** Deletes the temporary file unless it was committed. */
  discard(): void {
    this.#close();
    if (this.#exists) rmSync(this.#temporary, { force: true });
  }

  #close(): void {
    if (this.#isOpen) closeSync(this.#descriptor);
    this.#isOpen = false;
  }

  #inFileSystem<T>(action: () => T): T {
    try {
      return action();
    } catch (error) {
      throw writeError(this.#path, error);
    }
  }
}
