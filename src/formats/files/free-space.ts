import { statfs } from "node:fs/promises";
import { IdlmError } from "../../errors.ts";

/**
 * Checks that the disk of an existing folder has room, where its free space is known: before hours are spent on what
 * could not be kept. @throws IdlmError "file-unwritable".
 */
export async function requireFreeSpace(path: string, nBytes: number): Promise<void> {
  const disk = await statfs(path).catch(() => undefined);
  const free = disk === undefined ? Number.POSITIVE_INFINITY : disk.bavail * disk.bsize;
  if (nBytes <= free) return;
  const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
  const reason = `about ${megabytes(nBytes)} needed, ${megabytes(free)} free on its disk`;
  throw new IdlmError("file-unwritable", { path, reason });
}
