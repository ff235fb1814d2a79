import { randomBytes } from "node:crypto";
import { closeSync, fsyncSync, ftruncateSync, openSync, renameSync, rmSync, writeSync } from "node:fs";
import { fileError } from "./map-file.ts";

/** One write asks for at most this much: Linux takes at most 2 GiB − 4 KiB. */
const WRITE_CHUNK_BYTES = 64 * 1024 * 1024;

/** What a file is written through, from its first byte to its last. */
export interface FileWriter {
  /** Bytes so far. */
  readonly position: number;
  append(bytes: Uint8Array): void;
  /** Appends zeros without writing them: a hole, where the file system knows such. */
  skip(nBytes: number): void;
}

/**
 * Writes a file under a temporary name beside `path`, flushes and renames it, so that `path` is the old file or the
 * whole new one. Errors: "file-missing" (no such folder), "file-unreadable"; what `write` throws comes through.
 */
export function replaceFile(path: string, write: (writer: FileWriter) => void): void {
  const temporary = `${path}.${randomBytes(6).toString("hex")}.tmp`;
  let descriptor: number;
  try {
    descriptor = openSync(temporary, "wx");
  } catch (error) {
    throw fileError(path, error);
  }
  let isOpen = true;
  try {
    const writer = new DescriptorWriter(descriptor, path);
    write(writer);
    inFileSystem(path, () => {
      ftruncateSync(descriptor, writer.position);
      fsyncSync(descriptor);
      closeSync(descriptor);
      isOpen = false;
      renameSync(temporary, path);
    });
  } catch (error) {
    if (isOpen) closeSync(descriptor);
    rmSync(temporary, { force: true });
    throw error;
  }
}

class DescriptorWriter implements FileWriter {
  readonly #descriptor: number;
  readonly #path: string;
  position = 0;

  constructor(descriptor: number, path: string) {
    this.#descriptor = descriptor;
    this.#path = path;
  }

  append(bytes: Uint8Array): void {
    inFileSystem(this.#path, () => {
      for (let done = 0; done < bytes.length; ) {
        const length = Math.min(bytes.length - done, WRITE_CHUNK_BYTES);
        const count = writeSync(this.#descriptor, bytes, done, length, this.position);
        done += count;
        this.position += count;
      }
    });
  }

  skip(nBytes: number): void {
    this.position += nBytes;
  }
}

function inFileSystem(path: string, action: () => void): void {
  try {
    action();
  } catch (error) {
    throw fileError(path, error);
  }
}
