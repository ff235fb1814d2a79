import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readError } from "./file-error.ts";

/** Large enough that hashing is the bottleneck, small enough for smooth progress. */
const CHUNK_BYTES = 1024 * 1024;

/** SHA-256 of a file in hexadecimal, read as a stream; `onProgress` receives the bytes read so far. */
export async function sha256File(
  path: string,
  onProgress?: (bytesDone: number) => void,
  signal?: AbortSignal,
): Promise<string> {
  const hash = createHash("sha256");
  let done = 0;
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: CHUNK_BYTES, signal }) as AsyncIterable<Buffer>) {
      hash.update(chunk);
      done += chunk.length;
      onProgress?.(done);
    }
  } catch (error) {
    if (signal?.aborted) throw error;
    throw readError(path, error);
  }
  return hash.digest("hex");
}
