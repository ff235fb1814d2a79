import { IdlmError } from "../../errors.ts";

/** Converts a file system error while reading `path` to an error of the catalogue. */
export function readError(path: string, error: unknown, hint = ""): IdlmError {
  if (error instanceof IdlmError) return error;
  const { code } = error as NodeJS.ErrnoException;
  if (code === "ENOENT" || code === "ENOTDIR") return new IdlmError("file-missing", { path, hint }, error);
  return new IdlmError("file-unreadable", { path, reason: reasonOf(error) }, error);
}

/** Like `readError`, for writing. */
export function writeError(path: string, error: unknown): IdlmError {
  if (error instanceof IdlmError) return error;
  const { code } = error as NodeJS.ErrnoException;
  const reason = code === "ENOENT" || code === "ENOTDIR" ? "there is no such folder" : reasonOf(error);
  return new IdlmError("file-unwritable", { path, reason }, error);
}

const reasons: Readonly<Record<string, string>> = {
  EACCES: "no permission",
  EPERM: "no permission",
  EROFS: "the file system is read-only",
  EISDIR: "it is a folder",
  ENOSPC: "no space left on device",
  EDQUOT: "the disk quota is used up",
  ELOOP: "too many symbolic links",
  ENAMETOOLONG: "its name is too long",
  ENXIO: "nothing listens there",
  EPIPE: "the reader has closed the pipe",
  EFBIG: "it exceeds the file system's largest file size",
};

/** A reason in words, as far as it is a common one. */
export function reasonOf(error: unknown): string {
  const { code = "", message } = error as NodeJS.ErrnoException;
  return reasons[code] ?? message;
}

/** Whether an output was a pipe that its reader has closed. */
export function isClosedPipe(error: unknown): boolean {
  const { cause } = error as { readonly cause?: NodeJS.ErrnoException };
  return error instanceof IdlmError && error.code === "file-unwritable" && cause?.code === "EPIPE";
}
