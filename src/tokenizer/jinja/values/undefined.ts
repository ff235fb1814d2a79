import { TemplateError } from "../errors.ts";
import { PyObject, type Value } from "./value.ts";

/** A name, attribute or item that does not exist (Jinja2's `Undefined`). */
export class Undefined extends PyObject {
  override readonly typeName = "Undefined";
  readonly #message: string;
  readonly #type: "UndefinedError" | "SecurityError";

  constructor(message: string, type: "UndefinedError" | "SecurityError" = "UndefinedError") {
    super();
    this.#message = message;
    this.#type = type;
  }

  get error(): TemplateError {
    return new TemplateError(this.#type, this.#message);
  }

  override get length(): number {
    return 0;
  }

  override iterate(): Iterator<Value> {
    return [][Symbol.iterator]();
  }

  override attribute(name: string): undefined {
    if (/^__.*__$/.test(name)) return undefined;
    throw this.error;
  }

  override call(): never {
    throw this.error;
  }

  override show(): string {
    return "Undefined";
  }
}
