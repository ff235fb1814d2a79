import { typeError } from "../errors.ts";
import { type CallArguments, plain, type Value } from "./index.ts";

/** Values of a function's parameters; undefined where a caller gave none. */
export type Bound = readonly (Value | undefined)[];

export interface Signature {
  readonly names: readonly string[];
  readonly nRequired: number;
  /** Leading parameters that cannot be given by name. */
  readonly nPositionalOnly: number;
  /** Parameters after these can only be given by name. */
  readonly nPositional: number;
}

/** "sep? maxsplit?", "old new / count?": "?" for optional parameters, "/" after positional ones, "*" before named ones. */
export function signature(text: string): Signature {
  const words = text.split(" ").filter((word) => word !== "");
  const slash = words.indexOf("/");
  const star = words.indexOf("*");
  const names = words.filter((word) => word !== "/" && word !== "*");
  return {
    names: names.map((name) => name.replace("?", "")),
    nRequired: names.filter((name) => !name.endsWith("?")).length,
    nPositionalOnly: Math.max(0, slash),
    nPositional: star < 0 ? names.length : star - (slash >= 0 && slash < star ? 1 : 0),
  };
}

/** Matches arguments with parameters as Python does. @throws TemplateError "TypeError". */
export function bind(
  name: string,
  { names, nRequired, nPositionalOnly, nPositional }: Signature,
  args: CallArguments,
): Bound {
  const { positional, named } = args;
  if (positional.length > nPositional) {
    throw typeError(`${name}() takes at most ${nPositional} positional arguments (${positional.length} given)`);
  }
  const bound: (Value | undefined)[] = positional.map(plain);
  for (const [key, value] of named) {
    const at = names.indexOf(key);
    if (at < nPositionalOnly) throw typeError(`${name}() got an unexpected keyword argument '${key}'`);
    if (bound[at] !== undefined) throw typeError(`${name}() got multiple values for argument '${key}'`);
    bound[at] = plain(value);
  }
  for (let i = 0; i < nRequired; i++) {
    if (bound[i] === undefined) throw typeError(`${name}() missing required argument: '${names[i]}'`);
  }
  return bound;
}
