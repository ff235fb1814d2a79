import { randomBytes } from "node:crypto";
import { type BigIntStats, lstatSync } from "node:fs";
import { rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { readJsonObject } from "../../formats/files/json.ts";
import type { StoredFile } from "./stored-model.ts";

/** What a file looked like, from outside, when its content was found right. */
export interface Stamp {
  readonly nBytes: string;
  readonly inode: string;
  readonly modifiedNs: string;
  /** Time of the last change of the inode: unlike the other one it cannot be set back. */
  readonly changedNs: string;
}

export function stampOf(stats: BigIntStats): Stamp {
  return {
    nBytes: String(stats.size),
    inode: String(stats.ino),
    modifiedNs: String(stats.mtimeNs),
    changedNs: String(stats.ctimeNs),
  };
}

export function isSameStamp(a: Stamp, b: Stamp): boolean {
  return a.nBytes === b.nBytes && a.inode === b.inode && a.modifiedNs === b.modifiedNs && a.changedNs === b.changedNs;
}

/** Each user of a shared cache has a record of their own. */
const userId = process.getuid?.();
const FILE_NAME = userId === undefined ? "checked.json" : `checked-${userId}.json`;
const MAX_BYTES = 4 * 1024 * 1024;
/** The coarsest clock of file times on Linux ticks every 10 ms: a change in the same tick would keep the stamp. */
const TICK_MS = 20;

/**
 * What was checked in a model's folder and not changed since, so that gigabytes are hashed once and not at every start.
 * Each entry says that content of a digest was seen under a stamp, which stays true whoever writes it and in whatever
 * order; a lost or damaged record costs the checksums again, no more. One that another user could have written to says
 * nothing.
 */
export class Stamps {
  readonly #path: string;
  readonly #entries = new Map<string, Stamp & { readonly digest: string }>();

  /** Reads the record of `folder`; an empty one where there is none that makes sense. */
  constructor(folder: string) {
    this.#path = join(folder, FILE_NAME);
    if (!isOwn(this.#path)) return;
    try {
      const record = readJsonObject(this.#path, { maxBytes: MAX_BYTES, maxDepth: 3 });
      for (const [path, entry] of Object.entries(record)) {
        // Compared as a whole later on: an entry of another shape equals none.
        this.#entries.set(path, entry as Stamp & { readonly digest: string });
      }
    } catch {
      // Missing or damaged.
    }
  }

  /** Whether this file was found right and still looks the same. */
  has({ path, digest }: StoredFile, stamp: Stamp): boolean {
    const entry = this.#entries.get(path);
    return entry?.digest === digest.hex && isSameStamp(entry, stamp);
  }

  set({ path, digest }: StoredFile, stamp: Stamp): void {
    this.#entries.set(path, { ...stamp, digest: digest.hex });
  }

  /** Writes what is known of `files`. A folder that cannot be written to costs the checksums each time, no more. */
  async save(files: readonly StoredFile[]): Promise<void> {
    const kept = files.flatMap(({ path }) => {
      const entry = this.#entries.get(path);
      return entry === undefined ? [] : [[path, entry] as const];
    });
    const newestMs = Math.max(...kept.map(([, { changedNs }]) => Number(changedNs) / 1e6));
    if (Math.abs(Date.now() - newestMs) < TICK_MS) await sleep(TICK_MS);
    const temporary = `${this.#path}.${randomBytes(6).toString("hex")}.tmp`;
    try {
      await writeFile(temporary, JSON.stringify(Object.fromEntries(kept)), { flag: "wx", mode: 0o600 });
      await rename(temporary, this.#path);
    } catch {
      await rm(temporary, { force: true }).catch(() => {});
    }
  }
}

/** Whether a file is this user's, and nobody else may write to it. */
function isOwn(path: string): boolean {
  if (userId === undefined) return true;
  try {
    const stats = lstatSync(path);
    return stats.isFile() && stats.uid === userId && (stats.mode & 0o022) === 0;
  } catch {
    return false;
  }
}
