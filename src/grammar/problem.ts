import { fieldPath, IdlmError, type Phrase, phrase } from "../errors.ts";

/** The error for a grammar that is wrong, too large or not supported; `path` is that of the value in the request. */
export function grammarProblem(path: string, problem: string | Phrase, hint = "Correct the grammar."): IdlmError {
  const field = fieldPath(path);
  return new IdlmError("usage", { problem: phrase`${field}: ${problem}`, hint, field });
}

/** A value of a request, shortened for a message. */
export function shown(value: unknown): string {
  return (JSON.stringify(value) ?? "nothing").slice(0, 40);
}
