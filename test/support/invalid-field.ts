import { IdlmError } from "../../src/errors.ts";

/** The path of the value for which `read` refuses its input; "no error" if it does not. */
export function invalidField(read: () => unknown): string | undefined {
  try {
    read();
  } catch (error) {
    if (error instanceof IdlmError) return error.fieldWith({});
    throw error;
  }
  return "no error";
}
