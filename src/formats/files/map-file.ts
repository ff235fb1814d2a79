import { constants } from "node:buffer";
import { closeSync, fstatSync, openSync, readSync, statSync } from "node:fs";
import { IdlmError } from "../../errors.ts";
import { readError } from "./file-error.ts";

/** Maps whole files into memory, read-only. The native addon provides one; without it files are read. */
export interface FileMapper {
  /** Throws where the file cannot be mapped. */
  mapFile(path: string): ArrayBuffer;
  unmapFile(buffer: ArrayBuffer): void;
}

/** One read of a file asks for at most this much: Linux returns at most 2 GiB − 4 KiB, and smaller pieces cost nothing. */
const READ_CHUNK_BYTES = 64 * 1024 * 1024;

let mapper: FileMapper | undefined;

/** Uses `fileMapper` for files opened from now on; undefined: read them instead. */
export function setFileMapper(fileMapper: FileMapper | undefined): void {
  mapper = fileMapper;
}

/**
 * A file whose headers are read and whose data is mapped on first use, so that looking at a header does not touch
 * gigabytes. Its size is taken once: ranges are checked against it and no range beyond it is read.
 */
export class ByteFile {
  readonly path: string;
  readonly size: number;
  readonly #descriptor: number;
  readonly #mapper = mapper;
  #mapped: ArrayBuffer | undefined;
  #closed = false;

  /** Errors: "file-missing", "file-unreadable" (also for what is no regular file). */
  constructor(path: string, hint = "") {
    this.path = path;
    let descriptor: number | undefined;
    try {
      // Before opening: to open a pipe waits for its writer.
      if (!statSync(path).isFile()) {
        throw new IdlmError("file-unreadable", { path, reason: "it is not a regular file" });
      }
      descriptor = openSync(path, "r");
      this.size = fstatSync(descriptor).size;
    } catch (error) {
      if (descriptor !== undefined) closeSync(descriptor);
      throw readError(path, error, hint);
    }
    this.#descriptor = descriptor;
  }

  /** A copy of `length` bytes at `offset`. The caller has checked the range against `size`. */
  read(offset: number, length: number): Uint8Array<ArrayBuffer> {
    this.#checkRange(offset, length);
    const bytes = new Uint8Array(length);
    let done = 0;
    try {
      while (done < length) {
        const wanted = Math.min(READ_CHUNK_BYTES, length - done);
        const count = readSync(this.#descriptor, bytes, done, wanted, offset + done);
        if (count === 0)
          throw new IdlmError("file-unreadable", { path: this.path, reason: "it became shorter while it was read" });
        done += count;
      }
    } catch (error) {
      throw readError(this.path, error);
    }
    return bytes;
  }

  /**
   * The bytes at `offset`, of the mapped file where there is a mapper, else read anew on each call. A view has no
   * particular alignment. Not to be written to, nor used after `close`.
   */
  view(offset: number, length: number): Uint8Array {
    this.#checkRange(offset, length);
    // A mapping of zero bytes does not exist, and one above V8's limit cannot be an ArrayBuffer.
    if (this.#mapper === undefined || length === 0 || this.size > constants.MAX_LENGTH)
      return this.read(offset, length);
    if (this.#mapped === undefined) {
      try {
        this.#mapped = this.#mapper.mapFile(this.path);
      } catch (error) {
        throw readError(this.path, error);
      }
    }
    if (this.#mapped.byteLength < offset + length) {
      throw new IdlmError("file-unreadable", { path: this.path, reason: "it became shorter while it was read" });
    }
    return new Uint8Array(this.#mapped, offset, length);
  }

  /** What `read` makes of an opened file, which it keeps; where it throws, the file is closed. Errors: as of the constructor. */
  static open<T>(path: string, hint: string, read: (file: ByteFile) => T): T {
    const file = new ByteFile(path, hint);
    try {
      return read(file);
    } catch (error) {
      file.close();
      throw error;
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    closeSync(this.#descriptor);
    if (this.#mapped !== undefined) this.#mapper?.unmapFile(this.#mapped);
    this.#mapped = undefined;
  }

  #checkRange(offset: number, length: number): void {
    if (this.#closed) throw new Error(`${this.path} is closed`);
    if (offset < 0 || length < 0 || offset + length > this.size) {
      throw new RangeError(`${this.path}: bytes ${offset} to ${offset + length} of ${this.size}`);
    }
  }
}
