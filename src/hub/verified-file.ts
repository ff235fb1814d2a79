import { randomBytes } from "node:crypto";
import { rename, rm, stat, writeFile } from "node:fs/promises";
import { readJsonObject } from "../formats/json.ts";
import { sha256File } from "../formats/sha256.ts";
import type { CatalogueEntry } from "./catalogue.ts";

/** What was true of a file when its checksum was last taken. */
interface Verification {
  readonly nBytes: number;
  readonly modifiedMs: number;
  readonly sha256: string;
}

/** A record is three numbers. */
const MAX_RECORD_BYTES = 4096;

function recordPath(path: string): string {
  return `${path}.verified.json`;
}

export interface VerifyOptions {
  readonly onProgress?: ((bytesDone: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export type FileState = "missing" | "wrong" | "verified";

/**
 * Whether `path` is the file of a catalogue's entry. Its checksum is taken once and recorded beside it, with length and
 * time of change; while those stay, the record is trusted.
 */
export async function verify(
  path: string,
  entry: CatalogueEntry,
  options: VerifyOptions = {},
): Promise<{ state: FileState; sha256?: string }> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined || !found.isFile()) return { state: "missing" };
  const { nBytes, sha256 } = entry.file;
  const record = readRecord(path);
  if (record?.nBytes === found.size && record.modifiedMs === found.mtimeMs && record.sha256 === sha256)
    return { state: "verified", sha256 };
  if (found.size !== nBytes) return { state: "wrong", sha256: `that of a file of ${found.size} bytes` };
  const actual = await sha256File(path, options.onProgress, options.signal);
  if (actual !== sha256) return { state: "wrong", sha256: actual };
  await writeRecord(path, { nBytes: found.size, modifiedMs: found.mtimeMs, sha256 });
  return { state: "verified", sha256 };
}

/** Records a checksum that was taken while the file was written, before it had its name. */
export async function recordVerified(path: string, sha256: string): Promise<void> {
  const { size, mtimeMs } = await stat(path);
  await writeRecord(path, { nBytes: size, modifiedMs: mtimeMs, sha256 });
}

function readRecord(path: string): Partial<Verification> | undefined {
  try {
    return readJsonObject(recordPath(path), { maxBytes: MAX_RECORD_BYTES }) as Partial<Verification>;
  } catch {
    return undefined; // missing or damaged: the checksum is taken again
  }
}

/** A folder that cannot be written to costs the checksum each time, no more. */
async function writeRecord(path: string, record: Verification): Promise<void> {
  const temporary = `${recordPath(path)}.${randomBytes(6).toString("hex")}.tmp`;
  try {
    await writeFile(temporary, JSON.stringify(record), { flag: "wx" });
    await rename(temporary, recordPath(path));
  } catch {
    await rm(temporary, { force: true }).catch(() => {});
  }
}
