import { randomBytes } from "node:crypto";
import { type BigIntStats, lstatSync } from "node:fs";
import { rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { readJsonObject } from "../../formats/files/json.ts";
import type { StoredFile } from "./stored-model.ts";

/** A file's metadata at the time when its content was verified. */
export interface Stamp {
  readonly nBytes: string;
  readonly inode: string;
  readonly modifiedNs: string;
  /** Time of the last change of the inode, which, unlike the modification time, cannot be set. */
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

/** Each user of a shared cache has their own record. */
const userId = process.getuid?.();
const FILE_NAME = userId === undefined ? "checked.json" : `checked-${userId}.json`;
const MAX_BYTES = 4 * 1024 * 1024;
/** Linux file times have a resolution of up to 10 ms: a change within the same tick would keep the stamp. */
const TICK_MS = 20;

/**
 * Record of verified files in a model's folder, so that gigabytes are hashed once and not at every start. Each entry maps
 * a stamp to the digest that was seen with it, so concurrent writers cannot invalidate it, and a lost or damaged record
 * only means hashing again. A record that another user could write to is ignored.
 */
export class Stamps {
  readonly #path: string;
  readonly #entries = new Map<string, Stamp & { readonly digest: string }>();

  /** Reads the record of `folder`; starts empty if it is missing or invalid. */
  constructor(folder: string) {
    this.#path = join(folder, FILE_NAME);
    if (!isOwn(this.#path)) return;
    try {
      const record = readJsonObject(this.#path, { maxBytes: MAX_BYTES, maxDepth: 3 });
      for (const [path, entry] of Object.entries(record)) {
        // Entries are compared as a whole later, so an entry of another shape never matches.
        this.#entries.set(path, entry as Stamp & { readonly digest: string });
      }
    } catch {
      // Missing or damaged.
    }
  }

  /** Whether this file was verified and has not changed since. */
  has({ path, digest }: StoredFile, stamp: Stamp): boolean {
    const entry = this.#entries.get(path);
    return entry?.digest === digest.hex && isSameStamp(entry, stamp);
  }

  set({ path, digest }: StoredFile, stamp: Stamp): void {
    this.#entries.set(path, { ...stamp, digest: digest.hex });
  }

  /** Writes the entries of `files`. If the folder is read-only, files are hashed again each time. */
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

/** Whether this user owns the file and no other user may write to it. */
function isOwn(path: string): boolean {
  if (userId === undefined) return true;
  try {
    const stats = lstatSync(path);
    return stats.isFile() && stats.uid === userId && (stats.mode & 0o022) === 0;
  } catch {
    return false;
  }
}
