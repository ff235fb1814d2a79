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
  ENOSPC: "the disk is full",
  EDQUOT: "the disk is full",
  EFBIG: "it exceeds the file system's largest file size",
};

function reasonOf(error: unknown): string {
  const { code = "", message } = error as NodeJS.ErrnoException;
  return reasons[code] ?? message;
}
