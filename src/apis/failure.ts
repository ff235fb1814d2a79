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

/** Errors outside of the catalogue are in the log only. `names`: the request's names of keys. */
export function failureOf(error: unknown, names: KeyNames): Failure {
  if (error instanceof IdlmError) {
    const { httpStatus: status, code } = error;
    return { status, message: error.messageWith(names), param: error.fieldWith(names), code };
  }
  const message = "The server failed. Its log has the reason.";
  return { status: SERVER_ERROR, message, param: undefined, code: "unexpected" };
}
