import { writeSync } from "node:fs";

/** Most bytes per write call: Linux takes at most 2 GiB − 4 KiB. */
const WRITE_CHUNK_BYTES = 64 * 1024 * 1024;
/** A pipe that does not block is tried again after this time. */
const FULL_PIPE_MS = 2;

/**
 * Writes all bytes to an open file: one call may write fewer, for example the last ones that fit on a disk. `position`:
 * where; by default at the file's own position. Errors: those of the file system.
 */
export function writeAll(descriptor: number, bytes: Uint8Array, position?: number): void {
  for (let done = 0; done < bytes.length; ) {
    const length = Math.min(bytes.length - done, WRITE_CHUNK_BYTES);
    try {
      done += writeSync(descriptor, bytes, done, length, position === undefined ? null : position + done);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, FULL_PIPE_MS);
    }
  }
}
