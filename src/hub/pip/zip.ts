import { createWriteStream } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { PassThrough, type Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createInflateRaw } from "node:zlib";
import { readError } from "../../formats/files/file-error.ts";
import { malformed, quote } from "../../formats/files/malformed.ts";

// The subset of zip that wheels use: no encryption, no parts, no zip64 (files below 4 GiB), stored or deflated.
// https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT, sections 4.3.7, 4.3.12, 4.3.16

const END_SIGNATURE = 0x06054b50;
const END_BYTES = 22;
/** The end record may be followed by a comment of up to this length. */
const MAX_COMMENT_BYTES = 65_535;
const ENTRY_SIGNATURE = 0x02014b50;
const ENTRY_BYTES = 46;
const LOCAL_SIGNATURE = 0x04034b50;
const LOCAL_BYTES = 30;
const STORED = 0;
const DEFLATED = 8;
/** A wheel's directory takes about 100 bytes per file. */
const MAX_DIRECTORY_BYTES = 16 * 1024 * 1024;

interface ZipEntry {
  readonly method: number;
  readonly nCompressedBytes: number;
  readonly localOffset: number;
}

/**
 * Streams one file of a zip archive through `through` into the new file `to`. Errors: "file-malformed" (also if the archive
 * has no such file), "file-missing", "file-unreadable"; errors of `through` and of writing `to` are passed on unchanged.
 */
export async function extractMember(
  zipPath: string,
  member: string,
  through: Transform,
  to: string,
  signal?: AbortSignal,
): Promise<void> {
  let file: FileHandle | undefined;
  try {
    file = await open(zipPath, "r");
    const { size } = await file.stat();
    const entry = findMember(await readDirectory(file, size, zipPath), member, zipPath);
    const local = await readAt(file, entry.localOffset, LOCAL_BYTES, size, zipPath);
    if (local.readUInt32LE(0) !== LOCAL_SIGNATURE)
      throw malformed(zipPath, `header of ${quote(member)}`, "the signature of a zip entry", "other bytes");
    const start = entry.localOffset + LOCAL_BYTES + local.readUInt16LE(26) + local.readUInt16LE(28);
    const end = start + entry.nCompressedBytes;
    if (end > size || end === start)
      throw malformed(zipPath, quote(member), "data inside the file", "no data, or data beyond its end");
    const source = file.createReadStream({ start, end: end - 1, autoClose: false });
    const decoder = entry.method === DEFLATED ? createInflateRaw() : new PassThrough();
    await pipeline(source, decoder, through, createWriteStream(to, { flags: "wx" }), { signal });
  } catch (error) {
    if (signal?.aborted) throw error;
    if ((error as NodeJS.ErrnoException).code?.startsWith("Z_"))
      throw malformed(zipPath, quote(member), "deflated data", "other data");
    throw isOfWriting(error, to) ? error : readError(zipPath, error);
  } finally {
    await file?.close();
  }
}

function isOfWriting(error: unknown, to: string): boolean {
  const { syscall, path } = error as NodeJS.ErrnoException;
  return syscall === "write" || path === to;
}

async function readDirectory(file: FileHandle, size: number, path: string): Promise<Buffer> {
  const tailLength = Math.min(size, END_BYTES + MAX_COMMENT_BYTES);
  const tail = await readAt(file, size - tailLength, tailLength, size, path);
  let at = tail.length - END_BYTES;
  while (at >= 0 && tail.readUInt32LE(at) !== END_SIGNATURE) at--;
  if (at < 0) throw malformed(path, "end of the archive", "a zip archive's end record", "none");
  const length = tail.readUInt32LE(at + 12);
  if (length > MAX_DIRECTORY_BYTES)
    throw malformed(path, "length of the directory", `at most ${MAX_DIRECTORY_BYTES}`, length);
  return readAt(file, tail.readUInt32LE(at + 16), length, size, path);
}

function findMember(directory: Buffer, member: string, path: string): ZipEntry {
  let at = 0;
  while (at + ENTRY_BYTES <= directory.length && directory.readUInt32LE(at) === ENTRY_SIGNATURE) {
    const nameLength = directory.readUInt16LE(at + 28);
    const name = directory.subarray(at + ENTRY_BYTES, at + ENTRY_BYTES + nameLength).toString("utf8");
    const method = directory.readUInt16LE(at + 10);
    if (name === member) {
      if (method !== STORED && method !== DEFLATED)
        throw malformed(path, quote(member), "stored or deflated data", `method ${method}`);
      return {
        method,
        nCompressedBytes: directory.readUInt32LE(at + 20),
        localOffset: directory.readUInt32LE(at + 42),
      };
    }
    at += ENTRY_BYTES + nameLength + directory.readUInt16LE(at + 30) + directory.readUInt16LE(at + 32);
  }
  throw malformed(path, quote(member), "a file of the archive", "no such file");
}

async function readAt(file: FileHandle, offset: number, length: number, size: number, path: string): Promise<Buffer> {
  if (offset + length > size) throw malformed(path, "archive", `${offset + length} bytes`, size);
  const buffer = Buffer.alloc(length);
  let done = 0;
  while (done < length) {
    const { bytesRead } = await file.read(buffer, done, length - done, offset + done);
    if (bytesRead === 0) throw malformed(path, "archive", `${offset + length} bytes`, offset + done);
    done += bytesRead;
  }
  return buffer;
}
