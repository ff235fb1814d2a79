import { IdlmError } from "../errors.ts";

/** A JSON object of a request, read key by key: a key that nobody read is an error. */
export class Body {
  readonly #values: Readonly<Record<string, unknown>>;
  readonly #read = new Set<string>();

  /** @throws IdlmError "usage" where it is no object. */
  constructor(value: unknown) {
    if (typeof value !== "object" || value === null || Array.isArray(value)) throw wrong("the body must be an object");
    this.#values = value as Readonly<Record<string, unknown>>;
  }

  /** null is as good as absent, as the API has it. */
  take(key: string): unknown {
    this.#read.add(key);
    return this.#values[key] ?? undefined;
  }

  /** @throws IdlmError "usage" unless it is absent or true or false. */
  boolean(key: string): boolean | undefined {
    const value = this.take(key);
    if (value === undefined || typeof value === "boolean") return value;
    throw wrong(`${key}: expected true or false`);
  }

  string(key: string): string | undefined {
    const value = this.take(key);
    if (value === undefined || typeof value === "string") return value;
    throw wrong(`${key}: expected a string`);
  }

  number(key: string): number | undefined {
    const value = this.take(key);
    if (value === undefined || typeof value === "number") return value;
    throw wrong(`${key}: expected a number`);
  }

  /** Keys that change nothing here. */
  ignore(...names: readonly string[]): void {
    for (const name of names) this.#read.add(name);
  }

  /** A key of which only the value that changes nothing is supported. */
  only(key: string, isNeutral: (value: unknown) => boolean, hint: string): void {
    const value = this.take(key);
    if (value !== undefined && !isNeutral(value)) throw wrong(`${key}: it is not supported`, hint);
  }

  /** @throws IdlmError "usage" where a key was not read. */
  end(): void {
    const unknown = Object.keys(this.#values).find((key) => !this.#read.has(key));
    if (unknown !== undefined) {
      throw wrong(`unknown key ${unknown}`, `Valid keys: ${[...this.#read].sort().join(", ")}.`);
    }
  }
}

export function wrong(problem: string, hint = "Correct the request."): IdlmError {
  return new IdlmError("usage", { problem, hint });
}
