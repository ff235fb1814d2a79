import { escapeControls, IdlmError } from "../../errors.ts";

/** Longest piece of a file's own text that an error message repeats. */
const MAX_QUOTED_LENGTH = 80;

/** A file's own text, safe to print: quoted, control characters escaped, cut. */
export function quote(text: string): string {
  const kept = text.length > MAX_QUOTED_LENGTH ? `${text.slice(0, MAX_QUOTED_LENGTH).toWellFormed()}…` : text;
  return escapeControls(JSON.stringify(kept));
}

/** The error "file-malformed": in `path`, `field` should have been `expected` and is `found`. */
export function malformed(path: string, field: string, expected: string, found: string | number | bigint): IdlmError {
  return new IdlmError("file-malformed", { path, field, expected, found: String(found) });
}
