import { escapeControls, IdlmError } from "../../errors.ts";

/** Longest part of a file's text that an error message quotes. */
const MAX_QUOTED_LENGTH = 80;

/** Text from a file, safe to print: quoted, truncated, control characters escaped. */
export function quote(text: string): string {
  const kept = text.length > MAX_QUOTED_LENGTH ? `${text.slice(0, MAX_QUOTED_LENGTH).toWellFormed()}…` : text;
  return escapeControls(JSON.stringify(kept));
}

/** The error "file-malformed": in `path`, `field` should have been `expected` and is `found`. */
export function malformed(path: string, field: string, expected: string, found: string | number | bigint): IdlmError {
  return new IdlmError("file-malformed", { path, field, expected, found: String(found) });
}
