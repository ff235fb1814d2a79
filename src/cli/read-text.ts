import { isUtf8 } from "node:buffer";
import { addAbortSignal, type Readable } from "node:stream";
import { IdlmError } from "../errors.ts";

/** Largest prompt in bytes, and largest file of messages: far above any context, far below what would hurt to read. */
export const MAX_TEXT_BYTES = 16 * 2 ** 20;

/** All of a stream as text. Invalid UTF-8 is an error: what the model would read is not what was meant. */
export async function readText(stream: Readable, signal: AbortSignal): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of addAbortSignal(signal, stream) as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > MAX_TEXT_BYTES) {
        throw new IdlmError("usage", {
          problem: `standard input holds more than ${MAX_TEXT_BYTES} bytes`,
          hint: "A prompt has to fit into the model's context.",
        });
      }
      chunks.push(chunk);
    }
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  }
  return decodeText(Buffer.concat(chunks));
}

/** Bytes of standard input as text; a byte order mark is text like any other. */
export function decodeText(bytes: Uint8Array): string {
  if (!isUtf8(bytes)) {
    throw new IdlmError("usage", {
      problem: "standard input is not valid UTF-8",
      hint: "Convert it first, for example with iconv.",
    });
  }
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
}
