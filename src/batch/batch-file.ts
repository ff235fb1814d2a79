import { createHash } from "node:crypto";
import { constants, type Stats } from "node:fs";
import { type FileHandle, open, stat } from "node:fs/promises";
import { setTimeout } from "node:timers/promises";
import { IdlmError, key, phrase } from "../errors.ts";
import { readError, writeError } from "../formats/files/file-error.ts";
import { readLines } from "../formats/files/read-lines.ts";

/** Most bytes of a line: more than any context needs, so that other kinds of files are detected. */
export const MAX_LINE_BYTES = 64 * 1024 * 1024;

/** Prefix of the ids of outputs. */
const REQUEST_ID = "batch_req_";
/** Prefix of the ids of outputs for lines that are not valid requests. */
const LINE_ID = "batch_line_";
/** Prefixes of all lines of an output file. */
const BEGINNINGS = [REQUEST_ID, LINE_ID].map((id) => `{"id":"${id}`);

/** A line of a batch's output, as the OpenAI API has it. */
export interface BatchOutput {
  readonly id: string;
  readonly custom_id: string | null;
  readonly response: {
    readonly status_code: number;
    readonly request_id: string;
    readonly body: unknown;
  } | null;
  readonly error: { readonly code: string; readonly message: string } | null;
}

/** The id of a request, derived from its custom_id. */
export function idOf(customId: string): string {
  return createHash("sha256").update(customId).digest("hex").slice(0, 24);
}

/** The output of a valid request. `id` as of `idOf`. */
export function answerLine(
  id: string,
  customId: string,
  status: number,
  body: unknown,
  error: BatchOutput["error"],
): BatchOutput {
  return {
    id: `${REQUEST_ID}${id}`,
    custom_id: customId,
    response: { status_code: status, request_id: `req_${id}`, body },
    error,
  };
}

/**
 * The output for a line that is not a valid request. Its id has the number of the line, so that a later run recognises
 * it.
 */
export function lineError(line: number, customId: string | null, code: string, message: string): BatchOutput {
  return {
    id: `${LINE_ID}${line}`,
    custom_id: customId,
    response: null,
    error: { code, message: `line ${line}: ${message}` },
  };
}

/** The output file of a batch. Outputs of earlier runs are kept. */
export class BatchOutputFile {
  /** `custom_id` of completed requests. */
  readonly #done: ReadonlySet<string>;
  /** `id` of outputs for invalid lines. */
  readonly #doneLines: ReadonlySet<string>;
  readonly #file: FileHandle;
  readonly #path: string;
  #last: Promise<unknown> = Promise.resolve();

  private constructor(path: string, file: FileHandle, done: ReadonlySet<string>, doneLines: ReadonlySet<string>) {
    this.#path = path;
    this.#file = file;
    this.#done = done;
    this.#doneLines = doneLines;
  }

  /** Whether a request is completed. */
  has(customId: string): boolean {
    return this.#done.has(customId);
  }

  /** Whether the file has an output for an invalid line. */
  hasLine(id: string): boolean {
    return this.#doneLines.has(id);
  }

  /**
   * Opens a file and reads the outputs in it. An incomplete last line of a killed run is removed. Anything but a
   * regular file (a pipe, a device) is only written. @throws IdlmError "file-malformed" if it contains anything but a
   * batch's output; "file-unwritable", as `append` does; the signal's reason.
   */
  static async open(path: string, signal: AbortSignal): Promise<BatchOutputFile> {
    const done = new Set<string>();
    const doneLines = new Set<string>();
    let length = 0;
    let lacksEnd = false;
    let isTorn = false;
    const found = await statOf(path);
    for await (const line of found?.isFile() ? readLines(path, MAX_LINE_BYTES, signal) : []) {
      const output = outputOf(line.text);
      if (output === undefined && line.text?.trim() !== "") {
        isTorn = !line.isWhole && (await beginsLikeOutput(path, length));
        if (isTorn) break;
        throw new IdlmError("file-malformed", {
          ...{ path, field: `line ${line.number}`, expected: "a line of a batch's output" },
          found: phrase`something else (name another file as ${key("output")})`,
        });
      }
      if (output?.id.startsWith(LINE_ID)) doneLines.add(output.id);
      else if (typeof output?.custom_id === "string") done.add(output.custom_id);
      length += line.nBytes;
      lacksEnd = !line.isWhole;
    }
    const file = await openToAppend(path, found?.isFIFO() === true, isTorn ? length : undefined, signal);
    const output = new BatchOutputFile(path, file, done, doneLines);
    if (lacksEnd) await output.#write("\n");
    return output;
  }

  /** Lines are written one at a time. */
  append(output: BatchOutput): Promise<void> {
    return this.#write(`${JSON.stringify(output)}\n`);
  }

  async close(): Promise<void> {
    await this.#last.finally(() => this.#file.close());
  }

  async #write(text: string): Promise<void> {
    const written = this.#last.then(() => this.#file.appendFile(text));
    this.#last = written.catch((error) => {
      throw writeError(this.#path, error);
    });
    await this.#last;
  }
}

/** Undefined: no such file. Other errors are reported when it is opened. */
async function statOf(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch {
    return undefined;
  }
}

/** Whether the bytes at `offset` are the start of an output line, even if only a few. */
async function beginsLikeOutput(path: string, offset: number): Promise<boolean> {
  const longest = Math.max(...BEGINNINGS.map(({ length }) => length));
  let file: FileHandle | undefined;
  try {
    file = await open(path, "r");
    const { buffer, bytesRead } = await file.read(Buffer.alloc(longest), 0, longest, offset);
    const found = buffer.toString("latin1", 0, bytesRead);
    return BEGINNINGS.some((beginning) => beginning.startsWith(found) || found.startsWith(beginning));
  } catch (error) {
    throw readError(path, error);
  } finally {
    await file?.close();
  }
}

/** Truncates the file to `length`. Opening a pipe waits for a reader; `signal` aborts that. */
async function openToAppend(
  path: string,
  isPipe: boolean,
  length: number | undefined,
  signal: AbortSignal,
): Promise<FileHandle> {
  let reader: FileHandle | undefined;
  let file: FileHandle | undefined;
  try {
    if (isPipe) reader = await openWhenRead(path, signal);
    file = await open(path, "a");
    if (length !== undefined) await file.truncate(length);
    return file;
  } catch (error) {
    await file?.close();
    signal.throwIfAborted();
    throw writeError(path, error);
  } finally {
    await reader?.close();
  }
}

const READER_POLL_MS = 50;

/** A blocking `open` could not be aborted. */
async function openWhenRead(path: string, signal: AbortSignal): Promise<FileHandle> {
  for (;;) {
    try {
      return await open(path, constants.O_WRONLY | constants.O_NONBLOCK);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENXIO") throw error;
      await setTimeout(READER_POLL_MS, undefined, { signal });
    }
  }
}

/** An output line of an earlier run; undefined: it is not one. */
function outputOf(text: string | undefined): Pick<BatchOutput, "id" | "custom_id"> | undefined {
  if (text === undefined) return undefined;
  let line: Partial<BatchOutput> | null;
  try {
    line = JSON.parse(text) as Partial<BatchOutput> | null;
  } catch {
    return undefined;
  }
  const { id, custom_id: customId } = line ?? {};
  if (typeof id !== "string" || (typeof customId !== "string" && customId !== null)) return undefined;
  return { id, custom_id: customId };
}
