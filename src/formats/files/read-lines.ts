import { createReadStream } from "node:fs";
import { addAbortSignal, type Readable } from "node:stream";
import { readError } from "./file-error.ts";

/** A line of a file or stream, without its line end. */
export interface FileLine {
  /** From 1. */
  readonly number: number;
  /** Bytes including the line end. */
  readonly nBytes: number;
  /** False: the file ends without a line end. */
  readonly isWhole: boolean;
  /** Undefined: too long, or not UTF-8. */
  readonly text: string | undefined;
}

/**
 * Reads lines one by one; memory is bounded by the longest line allowed. Throws the errors of `readError` and the
 * signal's reason.
 */
export async function* readLines(
  source: string | Readable,
  maxBytes: number,
  signal: AbortSignal,
): AsyncGenerator<FileLine> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let kept: Buffer[] = [];
  let nBytes = 0;
  let number = 0;
  const keep = (piece: Buffer) => {
    nBytes += piece.length;
    if (nBytes <= maxBytes) kept.push(piece);
    else kept = [];
  };
  const finish = (isWhole: boolean): FileLine => {
    const line = { number: ++number, nBytes: nBytes + (isWhole ? 1 : 0), isWhole, text: textOf() };
    kept = [];
    nBytes = 0;
    return line;
  };
  const textOf = (): string | undefined => {
    if (nBytes > maxBytes) return undefined;
    try {
      return decoder.decode(Buffer.concat(kept));
    } catch {
      return undefined;
    }
  };
  for await (const chunk of chunksOf(source, signal)) {
    let start = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
      keep(chunk.subarray(start, end));
      yield finish(true);
      start = end + 1;
    }
    keep(chunk.subarray(start));
  }
  if (nBytes > 0) yield finish(false);
}

async function* chunksOf(source: string | Readable, signal: AbortSignal): AsyncGenerator<Buffer> {
  try {
    const stream = typeof source === "string" ? createReadStream(source, { signal }) : addAbortSignal(signal, source);
    yield* stream as AsyncIterable<Buffer>;
  } catch (error) {
    signal.throwIfAborted();
    throw readError(typeof source === "string" ? source : "standard input", error);
  }
}
