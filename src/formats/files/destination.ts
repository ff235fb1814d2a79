import { lstatSync, readlinkSync, realpathSync, type Stats, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";

/** What a path of an output stands for. */
export type Destination =
  /** A regular file, or none yet (without `stats`). `path` is no link. */
  | { readonly kind: "file"; readonly path: string; readonly stats: Stats | undefined }
  /** A device, a named pipe or another process's descriptor: opened and written to. */
  | { readonly kind: "special"; readonly path: string }
  /** A descriptor of this process: /dev/stdout, /dev/fd/3. */
  | { readonly kind: "descriptor"; readonly descriptor: number };

/** As Linux has it. */
const MAX_LINKS = 40;

/** Follows links. Errors: those of the file system; also for a folder. */
export function destinationOf(path: string): Destination {
  let current = path;
  for (let links = 0; ; links++) {
    const stats = lstatSync(current, { throwIfNoEntry: false });
    if (stats?.isSymbolicLink() !== true) return kindOf(current, stats);
    const folder = realpathSync(dirname(current));
    // Links of /proc name open files, which need not have a path.
    if (folder.startsWith("/proc/")) return openFile(join(folder, current.slice(current.lastIndexOf("/") + 1)));
    if (links === MAX_LINKS) throw systemError("ELOOP", "too many links");
    current = resolve(folder, readlinkSync(current));
  }
}

function openFile(path: string): Destination {
  const [, owner, descriptor] = /^\/proc\/(\d+)(?:\/task\/\d+)?\/fd\/(\d+)$/.exec(path) ?? [];
  if (Number(owner) === process.pid) return { kind: "descriptor", descriptor: Number(descriptor) };
  return { kind: "special", path };
}

function kindOf(path: string, stats: Stats | undefined): Destination {
  if (stats?.isDirectory() === true) throw systemError("EISDIR", "it is a folder");
  if (stats !== undefined && !stats.isFile()) return { kind: "special", path };
  // A name with a slash at its end, or within a file.
  if (stats === undefined) statSync(dirname(path));
  return { kind: "file", path, stats };
}

function systemError(code: string, message: string): Error {
  return Object.assign(new Error(`${code}: ${message}`), { code });
}
