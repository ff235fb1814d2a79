import type { KeyNames } from "../../errors.ts";
import { failureOf } from "../failure.ts";

/** The API's type of an error, by its HTTP status. */
const types: Readonly<Record<number, string>> = {
  401: "authentication_error",
  403: "permission_error",
  404: "not_found_error",
  413: "request_too_large",
  429: "rate_limit_error",
  503: "overloaded_error",
  504: "timeout_error",
};

/** HTTP status and body of the response to a failed request. `names`: the request's names of keys. `id` of the request. */
export function anthropicError(
  error: unknown,
  names: KeyNames,
  id: string,
): { readonly status: number; readonly body: unknown } {
  const { status, message } = failureOf(error, names);
  const type = types[status] ?? (status < 500 ? "invalid_request_error" : "api_error");
  return { status, body: { type: "error", error: { type, message }, request_id: id } };
}
