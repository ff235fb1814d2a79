import { randomBytes } from "node:crypto";
import {
  accessSync,
  closeSync,
  constants,
  copyFileSync,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  renameSync,
  rmSync,
  type Stats,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { writeError } from "./file-error.ts";
import { type Destination, destinationOf } from "./destination.ts";
import { writeAll } from "./write-all.ts";

/** The next bytes of a file; a number stands for that many zeros, which become a hole where the file system supports it. */
export type FilePiece = Uint8Array | number;

/**
 * Writes an output, piece by piece. All outputs are written here. A regular file is replaced atomically, with the mode it
 * had: `path` is the old file or the complete new one. A link stays a link, and what it names is written. A device, a
 * pipe or an open descriptor (/dev/stdout) is written to and stays what it is.
 * @throws IdlmError "file-unwritable", and what `pieces` throws.
 */
export function writeOutput(path: string, pieces: Iterable<FilePiece>): void {
  const file = openOutput(path);
  try {
    for (const piece of pieces) file.append(piece);
    file.commit();
  } finally {
    file.discard();
  }
}

/** Like `writeOutput`, for large files: yields to the event loop after each piece, and can be aborted by `signal`. */
export async function writeOutputInTurns(
  path: string,
  pieces: Iterable<FilePiece>,
  signal?: AbortSignal,
): Promise<void> {
  signal?.throwIfAborted();
  const file = openOutput(path);
  try {
    for (const piece of pieces) {
      file.append(piece);
      await nextTurn();
      signal?.throwIfAborted();
    }
    file.commit();
  } finally {
    file.discard();
  }
}

interface OutputFile {
  append(piece: FilePiece): void;
  /** The last piece was appended. */
  commit(): void;
  /** Closes the file, and removes what was not committed. */
  discard(): void;
}

function openOutput(path: string): OutputFile {
  return inFileSystem(path, () => {
    const destination = destinationOf(path);
    if (destination.kind !== "file") return new StreamOutput(path, destination);
    // Renaming would replace a file that may not be written.
    if (destination.stats !== undefined) accessSync(destination.path, constants.W_OK);
    return new ReplacedFile(path, destination.path, destination.stats);
  });
}

/** A new file beside the one it replaces, renamed in the end. */
class ReplacedFile implements OutputFile {
  readonly #path: string;
  readonly #target: string;
  /** Undefined: the target itself is written, because its folder takes no other file. */
  readonly #temporary: string | undefined;
  readonly #descriptor: number;
  #size = 0;
  #isOpen = true;

  /** `path`: for messages. */
  constructor(path: string, target: string, replaced: Stats | undefined) {
    this.#path = path;
    this.#target = target;
    // A name of 255 bytes leaves no room for a longer one.
    const start = basename(target).slice(0, 60);
    const temporary = join(dirname(target), `${start}.${randomBytes(6).toString("hex")}.tmp`);
    try {
      this.#descriptor = openSync(temporary, "wx", replaced === undefined ? 0o666 : 0o600);
      this.#temporary = temporary;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (replaced === undefined || (code !== "EACCES" && code !== "EPERM")) throw error;
      this.#descriptor = openSync(target, constants.O_WRONLY | constants.O_TRUNC);
    }
    if (replaced !== undefined && this.#temporary !== undefined) keepOwnerAndMode(this.#descriptor, replaced);
  }

  append(piece: FilePiece): void {
    if (typeof piece !== "number") {
      inFileSystem(this.#path, () => writeAll(this.#descriptor, piece, this.#size));
    }
    this.#size += typeof piece === "number" ? piece : piece.length;
  }

  commit(): void {
    inFileSystem(this.#path, () => {
      ftruncateSync(this.#descriptor, this.#size);
      fsyncSync(this.#descriptor);
      this.#close();
      if (this.#temporary !== undefined) moveFile(this.#temporary, this.#target);
    });
  }

  discard(): void {
    this.#close();
    // After `commit` it has been renamed.
    if (this.#temporary !== undefined) rmSync(this.#temporary, { force: true });
  }

  #close(): void {
    if (this.#isOpen) closeSync(this.#descriptor);
    this.#isOpen = false;
  }
}

function moveFile(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch (error) {
    // A file that is mounted by itself, as in a container, cannot be replaced.
    if ((error as NodeJS.ErrnoException).code !== "EBUSY") throw error;
    copyFileSync(from, to);
  }
}

function keepOwnerAndMode(descriptor: number, { uid, gid, mode }: Stats): void {
  const stat = fstatSync(descriptor);
  if (stat.uid !== uid || stat.gid !== gid) {
    try {
      fchownSync(descriptor, uid, gid);
    } catch {
      // Only root can give a file to somebody else.
    }
  }
  // After the owner, since changing that takes bits away.
  fchmodSync(descriptor, mode & 0o7777);
}

const ZEROS = new Uint8Array(64 * 1024);

/** A device, a pipe or an open descriptor. */
class StreamOutput implements OutputFile {
  readonly #path: string;
  readonly #descriptor: number;
  #isOpen: boolean;

  constructor(path: string, destination: Exclude<Destination, { kind: "file" }>) {
    this.#path = path;
    this.#isOpen = destination.kind === "special";
    this.#descriptor =
      destination.kind === "special" ? openSync(destination.path, constants.O_WRONLY) : destination.descriptor;
  }

  append(piece: FilePiece): void {
    inFileSystem(this.#path, () => {
      if (typeof piece !== "number") writeAll(this.#descriptor, piece);
      else for (let left = piece; left > 0; left -= ZEROS.length) writeAll(this.#descriptor, ZEROS.subarray(0, left));
    });
  }

  commit(): void {
    // Closing tells of errors that writing does not.
    inFileSystem(this.#path, () => this.discard());
  }

  discard(): void {
    const isOpen = this.#isOpen;
    this.#isOpen = false;
    if (isOpen) closeSync(this.#descriptor);
  }
}

function inFileSystem<T>(path: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw writeError(path, error);
  }
}
