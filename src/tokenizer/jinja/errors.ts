/** What a template did wrong. `type` is the name of Python's exception, which filters like `int` catch by type. */
export type ExceptionType =
  | "AttributeError"
  | "IndexError"
  | "KeyError"
  | "OverflowError"
  | "RuntimeError"
  | "SecurityError"
  | "StopIteration"
  | "TemplateRuntimeError"
  | "TypeError"
  | "UndefinedError"
  | "ValueError"
  | "ZeroDivisionError";

/** The source is not a Jinja template. */
export class TemplateSyntaxError extends Error {
  constructor(message: string, line: number) {
    super(`line ${line}: ${message}`);
  }
}

/** An exception that Jinja2 would raise while rendering. */
export class TemplateError extends Error {
  readonly type: ExceptionType;

  constructor(type: ExceptionType, message: string) {
    super(message);
    this.type = type;
  }
}

/** The template called `raise_exception`. */
export class RaisedByTemplate extends Error {}

/** The template needs more steps or memory than any real one. Not an exception that a filter may catch. */
export class LimitExceeded extends Error {}

export function typeError(message: string): TemplateError {
  return new TemplateError("TypeError", message);
}

export function valueError(message: string): TemplateError {
  return new TemplateError("ValueError", message);
}

export function isError(error: unknown, ...types: readonly ExceptionType[]): boolean {
  return error instanceof TemplateError && types.includes(error.type);
}
