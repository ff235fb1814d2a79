import { oneOf, shown, usage, wrongKey } from "../engine/request/request-values.ts";

/** A JSON object of a request, and which of its keys were read. */
export class Body {
  readonly #nested: Body[] = [];
  readonly #values: Readonly<Record<string, unknown>>;
  readonly #path: string;
  readonly #read = new Set<string>();

  /**
   * `path` of the object in the body; "": the body itself. What was not read in it counts as not read in `outer`, too.
   * @throws IdlmError "usage" unless it is an object.
   */
  constructor(value: unknown, path = "", outer?: Body) {
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw path === "" ? usage("the body must be an object") : wrongKey(path, "expected an object");
    }
    this.#values = value as Readonly<Record<string, unknown>>;
    this.#path = path;
    if (outer !== undefined) outer.#nested.push(this);
  }

  /** The path of a key. */
  at(key: string): string {
    return this.#path === "" ? key : `${this.#path}.${key}`;
  }

  /** The value of a key; null counts as absent, as in the API. */
  take(key: string): unknown {
    this.#read.add(key);
    return this.#values[key] ?? undefined;
  }

  /** @throws IdlmError "usage" unless it is absent, true or false. */
  boolean(key: string): boolean | undefined {
    const value = this.take(key);
    if (value === undefined || typeof value === "boolean") return value;
    throw wrongKey(this.at(key), `expected true or false, found ${shown(value)}`);
  }

  string(key: string): string | undefined {
    const value = this.take(key);
    if (value === undefined || typeof value === "string") return value;
    throw wrongKey(this.at(key), `expected a string, found ${shown(value)}`);
  }

  /** @throws IdlmError "usage" unless it is a string. */
  requiredString(key: string): string {
    const value = this.string(key);
    if (value === undefined) throw wrongKey(this.at(key), "expected a string");
    return value;
  }

  number(key: string): number | undefined {
    const value = this.take(key);
    if (value === undefined || typeof value === "number") return value;
    throw wrongKey(this.at(key), `expected a number, found ${shown(value)}`);
  }

  object(key: string): Readonly<Record<string, unknown>> | undefined {
    const value = this.take(key);
    if (value === undefined || (typeof value === "object" && value !== null && !Array.isArray(value))) {
      return value as Readonly<Record<string, unknown>> | undefined;
    }
    throw wrongKey(this.at(key), `expected an object, found ${shown(value)}`);
  }

  /** @throws IdlmError "usage" unless it is absent or one of the choices. */
  choice<T extends string>(key: string, choices: readonly T[]): T | undefined {
    const value = this.take(key);
    return value === undefined ? undefined : oneOf(this.at(key), value, choices);
  }

  /** Marks keys without an effect here as read. */
  ignore(...names: readonly string[]): void {
    for (const name of names) this.#read.add(name);
  }

  /** A key that is supported with a neutral value only. */
  only(key: string, isNeutral: (value: unknown) => boolean, hint: string): void {
    const value = this.take(key);
    if (value !== undefined && !isNeutral(value)) throw wrongKey(this.at(key), "not supported", hint);
  }

  /** Paths of keys that have a value and were not read. */
  unread(): readonly string[] {
    const own = Object.keys(this.#values).filter((key) => !this.#read.has(key) && this.#values[key] !== null);
    return [...own.map((key) => this.at(key)), ...this.#nested.flatMap((body) => body.unread())];
  }
}

/** The objects of a list at a path of `outer`. @throws IdlmError "usage" unless it is an array of objects. */
export function bodiesOf(value: unknown, path: string, outer?: Body): readonly Body[] {
  if (!Array.isArray(value)) throw wrongKey(path, `expected an array, found ${shown(value)}`);
  return value.map((one: unknown, i) => new Body(one, `${path}[${i}]`, outer));
}
