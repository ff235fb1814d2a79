import type { CharacterSet } from "./characters.ts";

/** What texts look like. Schemas, regular expressions and EBNF are converted to it. */
export type Expression =
  | { readonly kind: "text"; readonly text: string }
  /** One character of a set. */
  | { readonly kind: "characters"; readonly set: CharacterSet }
  | { readonly kind: "sequence"; readonly parts: readonly Expression[] }
  /** Any one of the parts; none if there are none. */
  | { readonly kind: "choice"; readonly parts: readonly Expression[] }
  /** `max` undefined: any number of times. */
  | { readonly kind: "repeat"; readonly part: Expression; readonly min: number; readonly max: number | undefined }
  | { readonly kind: "rule"; readonly name: string };

/** Rules by name; a text matches if it matches the root. */
export interface Grammar {
  readonly root: Expression;
  readonly rules: ReadonlyMap<string, Expression>;
}

/** Larger numbers of repetitions do not fit into any context. */
export const MAX_REPEAT = 1_000_000;

export const empty: Expression = { kind: "sequence", parts: [] };

export function text(value: string): Expression {
  return { kind: "text", text: value };
}

export function characters(set: CharacterSet): Expression {
  return { kind: "characters", set };
}

export function sequence(...parts: readonly Expression[]): Expression {
  const [only] = parts;
  return parts.length === 1 && only !== undefined ? only : { kind: "sequence", parts };
}

export function choice(...parts: readonly Expression[]): Expression {
  const [only] = parts;
  return parts.length === 1 && only !== undefined ? only : { kind: "choice", parts };
}

export function optional(part: Expression): Expression {
  return { kind: "repeat", part, min: 0, max: 1 };
}

export function repeat(part: Expression, min: number, max: number | undefined): Expression {
  return min === 1 && max === 1 ? part : { kind: "repeat", part, min, max };
}

export function rule(name: string): Expression {
  return { kind: "rule", name };
}

/** The expressions directly inside an expression. */
export function partsOf(expression: Expression): readonly Expression[] {
  if (expression.kind === "repeat") return [expression.part];
  return expression.kind === "sequence" || expression.kind === "choice" ? expression.parts : [];
}
