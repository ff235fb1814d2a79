import { constants } from "node:buffer";
import { closeSync, fstatSync, openSync, readSync, statSync } from "node:fs";
import { IdlmError } from "../../errors.ts";
import { readError } from "./file-error.ts";

/** Maps whole files into memory, read-only. The native addon provides one; without it files are read instead. */
export interface FileMapper {
  /** Throws if the file cannot be mapped. */
  mapFile(path: string): ArrayBuffer;
  unmapFile(buffer: ArrayBuffer): void;
}

/** Most bytes per read call: Linux returns at most 2 GiB − 4 KiB, and smaller chunks are as fast. */
const READ_CHUNK_BYTES = 64 * 1024 * 1024;

let mapper: FileMapper | undefined;

/** Uses `fileMapper` for files opened from now on; undefined: files are read. */
export function setFileMapper(fileMapper: FileMapper | undefined): void {
  mapper = fileMapper;
}

/**
 * A file whose headers are read and whose data is mapped on first use, so that reading a header does not touch
 * gigabytes. Its size is taken once, when it is opened, and every range is checked against it.
 */
export class ByteFile {
  readonly path: string;
  readonly size: number;
  readonly #descriptor: number;
  readonly #mapper = mapper;
  #mapped: ArrayBuffer | undefined;
  #closed = false;

  /** Errors: "file-missing", "file-unreadable" (also for anything but a regular file). */
  constructor(path: string, hint = "") {
    this.path = path;
    let descriptor: number | undefined;
    try {
      // Checked before opening, because opening a named pipe blocks until it has a writer.
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
        const chunk = Math.min(READ_CHUNK_BYTES, length - done);
        const count = readSync(this.#descriptor, bytes, done, chunk, offset + done);
        if (count === 0) throw this.#truncated();
        done += count;
      }
    } catch (error) {
      throw readError(this.path, error);
    }
    return bytes;
  }

  /**
   * The bytes at `offset`: a view of the mapped file, or without a mapper a fresh copy on each call. Its alignment is not
   * guaranteed. It must not be written to, or used after `close`.
   */
  view(offset: number, length: number): Uint8Array {
    this.#checkRange(offset, length);
    // Zero bytes cannot be mapped, and a mapping above V8's limit cannot be an ArrayBuffer.
    if (this.#mapper === undefined || length === 0 || this.size > constants.MAX_LENGTH)
      return this.read(offset, length);
    if (this.#mapped === undefined) {
      try {
        this.#mapped = this.#mapper.mapFile(this.path);
      } catch (error) {
        throw readError(this.path, error);
      }
    }
    if (this.#mapped.byteLength < offset + length) throw this.#truncated();
    return new Uint8Array(this.#mapped, offset, length);
  }

  /** Opens a file and returns the result of `read`, which owns the file; closes it if `read` throws. Errors: those of the constructor. */
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

  #truncated(): IdlmError {
    return new IdlmError("file-unreadable", { path: this.path, reason: "it was truncated while being read" });
  }

  #checkRange(offset: number, length: number): void {
    if (this.#closed) throw new Error(`${this.path} is closed`);
    if (offset < 0 || length < 0 || offset + length > this.size) {
      throw new RangeError(`${this.path}: bytes ${offset} to ${offset + length} of ${this.size}`);
    }
  }
}
