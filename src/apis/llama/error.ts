import { IdlmError, type KeyNames } from "../../errors.ts";
import { failureOf } from "../failure.ts";

/** The API's type of an error, by its HTTP status. */
const types: Readonly<Record<number, string>> = {
  401: "authentication_error",
  403: "permission_error",
  404: "not_found_error",
  501: "not_supported_error",
  503: "unavailable_error",
};

/** HTTP status and body of the response to a failed request. `names`: the request's names of keys. */
export function llamaError(error: unknown, names: KeyNames): { readonly status: number; readonly body: unknown } {
  const { status, message } = failureOf(error, names);
  if (error instanceof IdlmError && error.code === "context-too-long") {
    const type = "exceed_context_size_error";
    // Clients look for these words.
    const text = `the request exceeds the available context size: ${message}`;
    return { status, body: { error: { code: status, message: text, type } } };
  }
  const type = types[status] ?? (status < 500 ? "invalid_request_error" : "server_error");
  return { status, body: { error: { code: status, message, type } } };
}
