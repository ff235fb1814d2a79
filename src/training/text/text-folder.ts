import { createHash, type Hash } from "node:crypto";
import { existsSync, statSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { IdlmError, key, phrase } from "../../errors.ts";
import { writeError } from "../../formats/files/file-error.ts";
import { makeFolder } from "../../formats/files/make-folder.ts";
import { malformed } from "../../formats/files/malformed.ts";
import { type FileLine, readLines } from "../../formats/files/read-lines.ts";
import type { DroppedRequest, TextOutcome, TextRow } from "./row.ts";
import { DROPPED_FILE, TEXT_FILE, type TextManifest, writeTextManifest } from "./text-manifest.ts";
import type { TextTotals } from "./text-totals.ts";

/** More than any row: a context of tokens as text and ids. */
const MAX_LINE_BYTES = 64 * 2 ** 20;

/**
 * Output folder of training text: rows are appended to text.jsonl, dropped requests to dropped.jsonl, both in the order
 * of requests. Together they tell where a killed run stopped: at the first request without a complete line in either.
 * Anything after it is removed and generated again.
 */
export class TextFolder {
  readonly #path: string;
  readonly #manifest: Pick<TextManifest, "model" | "settings">;
  readonly #text: FileHandle;
  readonly #dropped: FileHandle;
  readonly #hash: Hash;
  #nBytes: number;
  readonly totals: TextTotals;

  private constructor(
    path: string,
    manifest: Pick<TextManifest, "model" | "settings">,
    files: { readonly text: FileHandle; readonly dropped: FileHandle },
    written: { readonly hash: Hash; readonly nBytes: number; readonly totals: TextTotals },
  ) {
    this.#path = path;
    this.#manifest = manifest;
    this.#text = files.text;
    this.#dropped = files.dropped;
    this.#hash = written.hash;
    this.#nBytes = written.nBytes;
    this.totals = written.totals;
  }

  /**
   * Opens or creates a folder. `totals` and `restore` receive its content, in order. @throws IdlmError
   * "file-unwritable", "file-malformed" (a damaged line other than an incomplete last one).
   */
  static async open(
    path: string,
    manifest: Pick<TextManifest, "model" | "settings">,
    totals: TextTotals,
    restore: (outcome: TextOutcome) => void,
    signal: AbortSignal,
  ): Promise<TextFolder> {
    makeFolder(path);
    const [textPath, droppedPath] = [join(path, TEXT_FILE), join(path, DROPPED_FILE)];
    const take = (outcome: TextOutcome) => {
      totals.add(outcome);
      restore(outcome);
    };
    const dropped = new Map<number, { readonly request: DroppedRequest; readonly end: number }>();
    for await (const { value, end } of entriesOf<DroppedRequest>(droppedPath, signal))
      dropped.set(value.index, { request: value, end });
    let droppedEnd = 0;
    const takeDropped = () => {
      for (let found = dropped.get(totals.nextIndex); found !== undefined; found = dropped.get(totals.nextIndex)) {
        take({ dropped: found.request });
        droppedEnd = found.end;
      }
    };
    const hash = createHash("sha256");
    let nBytes = 0;
    for await (const { value, end, line } of entriesOf<TextRow>(textPath, signal)) {
      takeDropped();
      if (value.index !== totals.nextIndex) break;
      take({ row: value });
      hash.update(line);
      nBytes = end;
    }
    takeDropped();
    const files = { text: await openAt(textPath, nBytes), dropped: await openAt(droppedPath, droppedEnd) };
    const folder = new TextFolder(path, manifest, files, { hash, nBytes, totals });
    // From the start, so that the folder is not mistaken for another model's.
    await folder.save(false);
    return folder;
  }

  /** Appends the outcome of the next request. @throws IdlmError "file-unwritable"; the folder can be opened again. */
  async append(outcome: TextOutcome): Promise<void> {
    const isRow = "row" in outcome;
    const line = Buffer.from(`${JSON.stringify(isRow ? outcome.row : outcome.dropped)}\n`);
    const name = isRow ? TEXT_FILE : DROPPED_FILE;
    await this.#inFile(name, () => (isRow ? this.#text : this.#dropped).appendFile(line));
    if (isRow) {
      this.#hash.update(line);
      this.#nBytes += line.length;
    }
    this.totals.add(outcome);
  }

  /** Flushes both files, and replaces the manifest by one that describes them. */
  async save(complete: boolean): Promise<void> {
    // First: a row on the disk must not outlive the dropped requests before it.
    await this.#inFile(DROPPED_FILE, () => this.#dropped.sync());
    await this.#inFile(TEXT_FILE, () => this.#text.sync());
    const file = { bytes: this.#nBytes, sha256: this.#hash.copy().digest("hex") };
    writeTextManifest(this.#path, { ...this.#manifest, complete }, this.totals, file);
  }

  async close(): Promise<void> {
    await this.#text.close();
    await this.#dropped.close();
  }

  async #inFile(name: string, action: () => Promise<void>): Promise<void> {
    try {
      await action();
    } catch (error) {
      throw writeError(join(this.#path, name), error);
    }
  }
}

/**
 * Empty files are no text: a full disk leaves them where the manifest found no room.
 * @throws IdlmError "file-malformed" for a folder with text and no manifest: it is not known what wrote it.
 */
export function checkNoText(path: string): void {
  const sizeOf = (file: string) => (existsSync(join(path, file)) ? statSync(join(path, file)).size : 0);
  const name = [TEXT_FILE, DROPPED_FILE].find((file) => sizeOf(file) > 0);
  if (name === undefined) return;
  throw new IdlmError("file-malformed", {
    path,
    field: name,
    expected: "a manifest.json beside it",
    found: phrase`none (name another folder as ${key("out")})`,
  });
}

/** Whole lines of dropped.jsonl. */
export async function countDropped(path: string, signal: AbortSignal): Promise<number> {
  let n = 0;
  for await (const _ of entriesOf<DroppedRequest>(join(path, DROPPED_FILE), signal)) n++;
  return n;
}

interface Entry<T> {
  readonly value: T;
  /** Bytes of the file up to and with its line. */
  readonly end: number;
  readonly line: string;
}

/** Lines of a file up to a torn one. A file that does not exist has none. */
async function* entriesOf<T extends TextRow | DroppedRequest>(
  path: string,
  signal: AbortSignal,
): AsyncGenerator<Entry<T>> {
  if (!existsSync(path)) return;
  let end = 0;
  let torn: FileLine | undefined;
  for await (const line of readLines(path, MAX_LINE_BYTES, signal)) {
    if (torn !== undefined)
      throw malformed(path, `line ${torn.number}`, "a line of training text", "something else: the file is damaged");
    const value = line.isWhole ? lineValue<T>(line.text) : undefined;
    if (value === undefined) {
      torn = line;
      continue;
    }
    end += line.nBytes;
    yield { value, end, line: `${line.text}\n` };
  }
}

/** Undefined: not a line that was written. A disk that lost power may end a file in zeros. */
function lineValue<T extends TextRow | DroppedRequest>(text: string | undefined): T | undefined {
  try {
    const value = JSON.parse(text ?? "") as Partial<T> | null;
    return Number.isSafeInteger(value?.index) && typeof value?.source === "string" ? (value as T) : undefined;
  } catch {
    return undefined;
  }
}

/** Opened to append, cut off at `length`. */
async function openAt(path: string, length: number): Promise<FileHandle> {
  try {
    const file = await open(path, "a");
    await file.truncate(length);
    return file;
  } catch (error) {
    throw writeError(path, error);
  }
}
