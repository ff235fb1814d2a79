import { randomBytes } from "node:crypto";
import { closeSync, fsyncSync, ftruncateSync, openSync, renameSync, rmSync, writeSync } from "node:fs";
import { setImmediate as nextTurn } from "node:timers/promises";
import { writeError } from "./file-error.ts";

/** One write asks for at most this much: Linux takes at most 2 GiB − 4 KiB. */
const WRITE_CHUNK_BYTES = 64 * 1024 * 1024;

/** The next bytes of a file; a number: so many zeros, which are a hole where the file system knows such. */
export type FilePiece = Uint8Array | number;

/**
 * Writes a file, piece after piece, under a temporary name beside `path`, flushes and renames it, so that `path` is the
 * old file or the whole new one. Errors: "file-unwritable"; what `pieces` throws comes through.
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

/** As `replaceFile`, for large files: gives up its turn after each piece, and ends when `signal` says so. */
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
  #isThere = true;

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

  /** Gives it its name. */
  commit(): void {
    this.#inFileSystem(() => {
      ftruncateSync(this.#descriptor, this.#size);
      fsyncSync(this.#descriptor);
      this.#close();
      renameSync(this.#temporary, this.#path);
      this.#isThere = false;
    });
  }

  /** Takes away what was not committed. */
  discard(): void {
    this.#close();
    if (this.#isThere) rmSync(this.#temporary, { force: true });
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
