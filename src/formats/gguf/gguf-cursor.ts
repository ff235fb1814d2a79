import { isUtf8 } from "node:buffer";
import { malformed } from "../files/malformed.ts";
import type { ByteFile } from "../files/map-file.ts";
import type { NumberLayout } from "./gguf-value-type.ts";

/** Headers are read in windows of this size; a vocabulary of 50,000 tokens takes a few. */
const WINDOW_BYTES = 1024 * 1024;

/** The longest strings in published files, chat templates and licences, are below 200 KB. */
const MAX_STRING_BYTES = 16 * 1024 * 1024;

/** Vocabularies of 256,000 tokens and their merges take 20 MB; a header is held in memory. */
const MAX_HEADER_BYTES = 128 * 1024 * 1024;

/** Reads the little-endian values of a GGUF header in order; every length is checked before it is used. */
export class GgufCursor {
  readonly #file: ByteFile;
  #window: Buffer = Buffer.alloc(0);
  #windowStart = 0;
  #position = 0;
  /** Offset in the window of the value that was read last. */
  #at = 0;

  constructor(file: ByteFile) {
    this.#file = file;
  }

  /** Bytes from the start of the file. */
  get position(): number {
    return this.#position;
  }

  /** Bytes left in the file, or up to the largest header. */
  get remaining(): number {
    return Math.min(this.#file.size, MAX_HEADER_BYTES) - this.#position;
  }

  number(type: NumberLayout, field: string): number | bigint {
    return type.decode(this.#take(type.bytes, field), this.#at);
  }

  u8(field: string): number {
    return this.#take(1, field).readUInt8(this.#at);
  }

  u32(field: string): number {
    return this.#take(4, field).readUInt32LE(this.#at);
  }

  u64(field: string): bigint {
    return this.#take(8, field).readBigUInt64LE(this.#at);
  }

  /** A u64 count. `limit` (a safe integer) comes from the file's size or a named limit. */
  count(field: string, limit: number, reason: string): number {
    const value = this.u64(field);
    if (value > BigInt(limit)) throw malformed(this.#file.path, field, `at most ${limit} (${reason})`, value);
    return Number(value);
  }

  /** A string: u64 length, then UTF-8. */
  string(field: string): string {
    const length = this.count(`${field}, length of string`, MAX_STRING_BYTES, "the longest string");
    const bytes = this.#take(length, field).subarray(this.#at, this.#at + length);
    if (!isUtf8(bytes)) throw malformed(this.#file.path, field, "UTF-8", "invalid UTF-8");
    return bytes.toString("utf8");
  }

  /** A copy of the next bytes. */
  bytes(length: number, field: string): Uint8Array<ArrayBuffer> {
    this.#require(length, field);
    const bytes = this.#file.read(this.#position, length);
    this.#position += length;
    return bytes;
  }

  /** Advances by `length` bytes; returns the window, which holds them from `#at` on. */
  #take(length: number, field: string): Buffer {
    this.#at = this.#position - this.#windowStart;
    if (this.#at + length > this.#window.length) {
      this.#require(length, field);
      const size = Math.min(Math.max(length, WINDOW_BYTES), this.remaining);
      this.#window = Buffer.from(this.#file.read(this.#position, size).buffer);
      this.#windowStart = this.#position;
      this.#at = 0;
    }
    this.#position += length;
    return this.#window;
  }

  #require(length: number, field: string): void {
    if (length <= this.remaining) return;
    const { path, size } = this.#file;
    const end = size > MAX_HEADER_BYTES ? "up to the largest header size" : "up to the end of the file";
    throw malformed(path, field, `${length} bytes at offset ${this.#position}`, `${this.remaining} ${end}`);
  }
}
