import type { Value } from "./values/index.ts";

/** Variables of a template, a loop's iteration, a macro call or a block. `set` writes to the innermost scope only. */
export class Scope {
  readonly #variables = new Map<string, Value>();
  readonly #parent: Scope | undefined;

  constructor(parent?: Scope) {
    this.#parent = parent;
  }

  get(name: string): Value | undefined {
    let scope: Scope | undefined = this;
    while (scope !== undefined) {
      const value = scope.#variables.get(name);
      if (value !== undefined) return value;
      scope = scope.#parent;
    }
    return undefined;
  }

  set(name: string, value: Value): void {
    this.#variables.set(name, value);
  }
}
