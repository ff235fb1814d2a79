import { IdlmError } from "../../errors.ts";

/** The error of a draw that is not possible. */
export function drawFailure(reason: "not-finite" | "nothing-allowed", position: number): IdlmError {
  if (reason === "not-finite") return new IdlmError("not-finite", { position: position - 1 });
  const problem = `at position ${position} no token is allowed`;
  return new IdlmError("usage", { problem, hint: "Loosen the mask or the logit bias." });
}
