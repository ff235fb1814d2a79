import type { Template } from "./syntax/ast.ts";
import { Budget } from "./budget.ts";
import { LimitExceeded, RaisedByTemplate, TemplateError, TemplateSyntaxError } from "./errors.ts";
import { globalsAt } from "./globals.ts";
import { callables } from "./expression-evaluator.ts";
import { Interpreter } from "./interpreter.ts";
import { JsonNumber } from "./json-number.ts";
import { parseTemplate } from "./syntax/parser.ts";
import { Dict, type Value } from "./values/index.ts";

export interface RenderOptions {
  /** JSON values by name. */
  readonly variables: Readonly<Record<string, unknown>>;
  /** The time for `strftime_now`. */
  readonly now: Date;
  /** Rendering fails after this many steps (`Budget`). */
  readonly maxSteps?: number | undefined;
}

export type RenderResult =
  | { readonly text: string }
  /** Why the source is not a template. */
  | { readonly malformed: string }
  /** The template's message (`raise_exception`). */
  | { readonly raised: string }
  /** Any other error of the template. */
  | { readonly failed: string };

/**
 * Jinja2 as transformers sets it up for chat templates: ImmutableSandboxedEnvironment, trim_blocks, lstrip_blocks, loop
 * controls, the `generation` tag, its `tojson` and `strftime_now`. Templates are untrusted: they work on values of this
 * module alone, and are stopped by counting steps and lengths.
 */
export class JinjaTemplate {
  readonly #source: string;
  #parsed: Template | { readonly malformed: string } | undefined;

  constructor(source: string) {
    this.#source = source;
  }

  /** Renders; a long rendering lets other work run in between. */
  async render({ variables, now, maxSteps }: RenderOptions): Promise<RenderResult> {
    this.#parsed ??= parse(this.#source);
    if ("malformed" in this.#parsed) return this.#parsed;
    try {
      const values = Object.entries(variables).map(([name, value]): [string, Value] => [name, toValue(value)]);
      const steps = new Interpreter(this.#parsed, values, globalsAt(now), new Budget(maxSteps)).run();
      for (;;) {
        const step = steps.next();
        if (step.done === true) return { text: step.value };
        await new Promise((resolve) => setImmediate(resolve));
      }
    } catch (error) {
      if (error instanceof RaisedByTemplate) return { raised: error.message };
      if (error instanceof LimitExceeded) return { failed: error.message };
      if (error instanceof TemplateError) return { failed: error.message.slice(0, 300) };
      if (error instanceof RangeError) return { failed: "it nests too deeply, or makes a text that is too long" };
      throw error;
    }
  }
}

function parse(source: string): Template | { readonly malformed: string } {
  try {
    return parseTemplate(source, callables);
  } catch (error) {
    if (error instanceof TemplateSyntaxError) return { malformed: error.message.slice(0, 300) };
    if (error instanceof RangeError) return { malformed: "it nests too deeply" };
    throw error;
  }
}

/** A JSON value as Python's json module reads it; a number without a fraction is an int. */
function toValue(value: unknown): Value {
  if (value === null || typeof value === "boolean" || typeof value === "string" || typeof value === "bigint")
    return value;
  if (typeof value === "number") return Number.isInteger(value) && Math.abs(value) < 1e21 ? BigInt(value) : value;
  if (Array.isArray(value)) return value.map(toValue);
  if (value instanceof JsonNumber) return value.value;
  if (typeof value !== "object" || !isPlain(value))
    throw new TemplateError("TypeError", "a variable is not plain data");
  const entries = Object.entries(value).filter(([, part]) => part !== undefined);
  return new Dict(entries.map(([key, part]) => [key, toValue(part)]));
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
