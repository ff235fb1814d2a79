import { fieldPath, IdlmError, type Phrase, phrase } from "../../errors.ts";

const HINT = "Correct the request.";

export function usage(problem: string | Phrase, hint: string | Phrase = HINT): IdlmError {
  return new IdlmError("usage", { problem, hint });
}

/** The error for a wrong value at a path of the request: "stride", "messages[2].content". */
export function wrongKey(path: string, problem: string | Phrase, hint: string | Phrase = HINT): IdlmError {
  const field = fieldPath(path);
  return new IdlmError("usage", { problem: phrase`${field}: ${problem}`, hint, field });
}

/** A value, shortened for a message. */
export function shown(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value);
  if (value === undefined) return "nothing";
  if (Array.isArray(value)) return "an array";
  if (typeof value === "object" && value !== null) return "an object";
  return typeof value === "function" ? "a function" : String(value);
}

/** @throws IdlmError "usage" unless it is undefined or a whole number in the range. */
export function wholeIn(name: string, value: unknown, min: number, max: number): number | undefined {
  if (value === undefined) return undefined;
  if (!Number.isSafeInteger(value) || (value as number) < min || (value as number) > max) {
    throw wrongKey(name, `expected a whole number from ${min} to ${max}, found ${shown(value)}`);
  }
  return value as number;
}

/** @throws IdlmError "usage" unless it is undefined or a number in the range; `isOpen`: without its lower end. */
export function numberIn(name: string, value: unknown, min: number, max: number, isOpen = false): number | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== "number" || !(value >= min && value <= max) || (isOpen && value === min)) {
    const range = `${isOpen ? "above" : "from"} ${min} ${isOpen ? "and up " : ""}to ${max}`;
    throw wrongKey(name, `expected a number ${range}, found ${shown(value)}`);
  }
  return value;
}

/** @throws IdlmError "usage" unless it is one of the choices. */
export function oneOf<T extends string>(name: string, value: unknown, choices: readonly T[]): T {
  const found = choices.find((choice) => choice === value);
  if (found !== undefined) return found;
  const listed = `${choices.slice(0, -1).join(", ")} or ${choices.at(-1)}`;
  throw wrongKey(name, `expected ${listed}, found ${shown(value)}`);
}
