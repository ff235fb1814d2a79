import { IdlmError, type KeyNames } from "../errors.ts";

/** What a client learns of an error. */
export interface Failure {
  readonly status: number;
  readonly message: string;
  /** Path of the invalid value in the body. */
  readonly param: string | undefined;
  readonly code: string;
}

const SERVER_ERROR = 500;

/**
 * Errors that only the operator can correct are named in the log, not here: their messages hold paths of the machine.
 * `names`: the request's names of keys.
 */
export function failureOf(error: unknown, names: KeyNames): Failure {
  if (error instanceof IdlmError && error.httpStatus !== SERVER_ERROR) {
    const { httpStatus: status, code } = error;
    return { status, message: error.messageWith(names), param: error.fieldWith(names), code };
  }
  const code = error instanceof IdlmError ? error.code : "unexpected";
  return { status: SERVER_ERROR, message: "The server failed. Its log has the reason.", param: undefined, code };
}
