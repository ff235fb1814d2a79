import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { IdlmError } from "../errors.ts";
import { writeError } from "../formats/file-error.ts";
import { readLines } from "./json-lines.ts";

/** Bytes of one line: more than any context holds; a bound against files that are something else. */
export const MAX_LINE_BYTES = 64 * 1024 * 1024;

/** What ids of lines that are no requests begin with. */
const LINE_ID = "batch_line_";

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

/** An id that the same request always has. */
export function idOf(customId: string): string {
  return createHash("sha256").update(customId).digest("hex").slice(0, 24);
}

/** The output of a line that is no request. Its id names the line, so that a second run knows it again. */
export function lineError(line: number, customId: string | null, code: string, message: string): BatchOutput {
  return {
    id: `${LINE_ID}${line}`,
    custom_id: customId,
    response: null,
    error: { code, message: `line ${line}: ${message}` },
  };
}

/** The file that a batch writes to. What a run before has finished stays. */
export class BatchOutputFile {
  /** `custom_id` of the requests that are done. */
  readonly #done: ReadonlySet<string>;
  /** `id` of the lines that were no requests. */
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

  /** A request is answered there. */
  has(customId: string): boolean {
    return this.#done.has(customId);
  }

  /** What is wrong with a line stands there. */
  hasLine(id: string): boolean {
    return this.#doneLines.has(id);
  }

  /**
   * Opens a file and reads what is there. A last line that was torn when a run was killed is cut off.
   * @throws IdlmError "file-malformed" where it holds anything but a batch's output; "file-unwritable", as `append` does.
   */
  static async open(path: string): Promise<BatchOutputFile> {
    const done = new Set<string>();
    const doneLines = new Set<string>();
    let length = 0;
    let lacksEnd = false;
    if (existsSync(path)) {
      for await (const line of readLines(path, MAX_LINE_BYTES)) {
        const output = outputOf(line.text);
        if (output === undefined && line.isWhole && line.text?.trim() !== "") {
          throw new IdlmError("file-malformed", {
            ...{ path, field: `line ${line.number}`, expected: "a line of a batch's output" },
            found: "something else (name another file with --out)",
          });
        }
        if (output === undefined && !line.isWhole) break;
        if (output !== undefined) {
          if (output.id.startsWith(LINE_ID)) doneLines.add(output.id);
          else if (output.custom_id !== null) done.add(output.custom_id);
        }
        length += line.nBytes;
        lacksEnd = !line.isWhole;
      }
    }
    const file = await openToAppend(path, length);
    const output = new BatchOutputFile(path, file, done, doneLines);
    if (lacksEnd) await output.#write("\n");
    return output;
  }

  /** Lines are written whole, one after the other. */
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

/** Behind its first `length` bytes. */
async function openToAppend(path: string, length: number): Promise<FileHandle> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, "a");
    await file.truncate(length);
    return file;
  } catch (error) {
    await file?.close();
    throw writeError(path, error);
  }
}

/** A line of an earlier output; undefined: it is none. */
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
