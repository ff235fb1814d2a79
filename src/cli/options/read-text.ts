import { isUtf8 } from "node:buffer";
import { addAbortSignal, type Readable } from "node:stream";
import { IdlmError } from "../../errors.ts";
import { malformed } from "../../formats/files/malformed.ts";
import { ByteFile } from "../../formats/files/map-file.ts";

/** Most bytes of a prompt or a file of messages: far above any context, and quick to read. */
export const MAX_TEXT_BYTES = 16 * 2 ** 20;

/** A stream as text. Invalid UTF-8 is an error, since the model would read something else than was meant. */
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

/** A file as text. Errors: "file-missing" (with `hint`), "file-unreadable", "file-malformed". */
export function readTextFile(path: string, hint = ""): string {
  const file = new ByteFile(path, hint);
  try {
    if (file.size > MAX_TEXT_BYTES) throw malformed(path, "size", `at most ${MAX_TEXT_BYTES} bytes`, file.size);
    const bytes = file.read(0, file.size);
    if (!isUtf8(bytes)) throw malformed(path, "content", "text in UTF-8", "bytes that are not UTF-8");
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  } finally {
    file.close();
  }
}

/** Standard input as text; a byte order mark is kept. */
export function decodeText(bytes: Uint8Array): string {
  if (!isUtf8(bytes)) {
    throw new IdlmError("usage", {
      problem: "standard input is not valid UTF-8",
      hint: "Convert it first, for example with iconv.",
    });
  }
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
}
