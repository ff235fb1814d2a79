import { IdlmError } from "../errors.ts";

/** Codes of errors that are the operator's, but whose messages a client may know: they name nothing of the machine. */
const told: ReadonlySet<string> = new Set([
  "not-offered",
  "memory",
  "timeout",
  "stopping",
  "not-finite",
  "server-error",
]);

/** What a client is told of an error. Messages of errors that it cannot correct are in the log only, for the operator. */
export function shownError(error: unknown, id: string): unknown {
  if (!(error instanceof IdlmError)) return new IdlmError("server-error", { code: "unexpected", id });
  if (error.httpStatus < 500 || told.has(error.code)) return error;
  return new IdlmError("server-error", { code: error.code, id });
}
