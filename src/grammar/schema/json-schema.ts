import {
  choice,
  type Expression,
  empty,
  type Grammar,
  MAX_REPEAT,
  optional,
  repeat,
  rule,
  sequence,
  text,
} from "../expression.ts";
import { GrammarSize } from "../grammar-size.ts";
import { parseRegex } from "../languages/regex.ts";
import { grammarProblem, shown } from "../problem.ts";
import { formats } from "./formats.ts";
import {
  ANY_ARRAY,
  ANY_INTEGER,
  ANY_NUMBER,
  ANY_OBJECT,
  ANY_VALUE,
  anyString,
  anyStringCharacter,
  COLON,
  COMMA,
  jsonText,
  list,
  quoted,
  stringCharacter,
  stringExcept,
  valueRules,
} from "./json-text.ts";
import { areDisjoint, kindOfValue } from "./disjoint.ts";
import { keywordOf, type ValueType, valueTypes } from "./keywords.ts";
import { type Bounds, integerWithin, numberWithin } from "./numbers.ts";

/** Schemas in a schema. */
const MAX_SCHEMAS = 5_000;
const MAX_DEPTH = 64;
/** Characters of all constants. */
const MAX_CONSTANTS = 250_000;
/** Longest reference. */
const MAX_REFERENCE = 1000;
/** Longest name or path in a message. */
const MAX_SHOWN = 80;

type Schema = Readonly<Record<string, unknown>>;

/**
 * Converts a JSON schema to a grammar of values in one line, with `, ` and `: `. `path`: where the schema stands in the
 * request. `prefix` of the names of its rules. @throws IdlmError "usage" that names the keyword which is wrong or not supported.
 */
export function grammarOfSchema(schema: unknown, path: string, prefix = ""): Grammar {
  return new SchemaConverter(schema, path, prefix).convert();
}

class SchemaConverter {
  readonly #root: unknown;
  readonly #path: string;
  readonly #prefix: string;
  readonly #rules = new Map(valueRules);
  /** Rules of `$ref`, by reference. */
  readonly #references = new Map<string, string>();
  #nSchemas = 0;
  #nConstants = 0;
  readonly #size: GrammarSize;

  constructor(root: unknown, path: string, prefix: string) {
    this.#root = root;
    this.#path = path;
    this.#prefix = prefix;
    this.#size = new GrammarSize(path);
  }

  convert(): Grammar {
    const root = this.#expressionOf(this.#root, "", 0);
    return { root, rules: this.#rules };
  }

  /** `at`: path in the schema. */
  #expressionOf(schema: unknown, at: string, depth: number): Expression {
    if (schema === true) return rule(ANY_VALUE);
    if (schema === false) throw this.#problem(at, "false matches no value");
    if (!isObject(schema)) throw this.#problem(at, "expected a schema: an object, true or false");
    if (depth > MAX_DEPTH) throw this.#problem(at, `schemas are nested more than ${MAX_DEPTH} levels deep`);
    if (++this.#nSchemas > MAX_SCHEMAS) throw this.#problem(at, `there are more than ${MAX_SCHEMAS} schemas`);
    const keywords = this.#keywordsOf(schema, at);
    for (const single of ["$ref", "allOf", "anyOf", "oneOf", "const", "enum"] as const) {
      if (!keywords.has(single)) continue;
      const isConstant = single === "const" || single === "enum";
      const other = [...keywords].find((name) => name !== single && !(isConstant && name === "type"));
      if (other !== undefined) throw this.#problem(`${at}.${other}`, `${other} beside ${single} is not supported`);
      return this.#single(single, schema, at, depth);
    }
    const types = this.#typesOf(schema, keywords, at);
    if (types === undefined) return rule(ANY_VALUE);
    return choice(...types.map((type) => this.#typed(type, schema, at, depth)));
  }

  /** Keywords that restrict values. @throws for those that are refused or unknown. */
  #keywordsOf(schema: Schema, at: string): Set<string> {
    const found = new Set<string>();
    for (const [name, value] of Object.entries(schema)) {
      const keyword = keywordOf(name);
      const field = `${at}.${name.slice(0, MAX_SHOWN)}`;
      if (keyword === undefined) {
        throw this.#problem(field, "unknown keyword", "Correct its name, or leave it out.");
      }
      const isHarmless = value === false && /^(uniqueItems|unevaluated(Items|Properties))$/.test(name);
      if (keyword.treatment === "refused" && !isHarmless) {
        throw this.#problem(field, "this keyword is not supported", "Leave it out, and check the value afterwards.");
      }
      if (keyword.treatment === "enforced") found.add(name);
    }
    return found;
  }

  #single(
    name: "$ref" | "allOf" | "anyOf" | "oneOf" | "const" | "enum",
    schema: Schema,
    at: string,
    depth: number,
  ): Expression {
    const value = schema[name];
    const field = `${at}.${name}`;
    if (name === "$ref") return this.#reference(value, field, depth);
    if (name === "const") return this.#constants([value], schema, at, field);
    if (!Array.isArray(value) || value.length === 0) throw this.#problem(field, "expected a list that is not empty");
    if (name === "enum") return this.#constants(value, schema, at, field);
    if (name === "allOf" && value.length > 1) {
      throw this.#problem(field, "several schemas are not supported", "Write them as one.");
    }
    if (
      name === "oneOf" &&
      !areDisjoint(
        value,
        (schema) => this.#target(schema),
        () => this.#problem(field, "it has too many alternatives to compare", "Write anyOf."),
      )
    ) {
      throw this.#problem(
        field,
        "a value may match several of these schemas",
        "Write anyOf, or give each a property of its own constant.",
      );
    }
    return choice(...value.map((part: unknown, i) => this.#expressionOf(part, `${field}[${i}]`, depth + 1)));
  }

  #reference(reference: unknown, field: string, depth: number): Expression {
    if (typeof reference !== "string" || reference.length > MAX_REFERENCE) {
      throw this.#problem(field, `expected a string of at most ${MAX_REFERENCE} characters`);
    }
    const known = this.#references.get(reference);
    if (known !== undefined) return rule(known);
    const target = this.#resolve(reference, field);
    const name = `${this.#prefix}$ref ${this.#references.size}`;
    this.#references.set(reference, name);
    this.#rules.set(name, empty);
    this.#rules.set(name, this.#expressionOf(target.schema, target.at, depth + 1));
    return rule(name);
  }

  /** The schema that a chain of references leads to. */
  #target(schema: unknown): unknown {
    let own = schema;
    for (let i = 0; i < MAX_DEPTH && isObject(own) && typeof own.$ref === "string"; i++)
      own = this.#resolve(own.$ref, "").schema;
    return own;
  }

  #resolve(reference: string, field: string): { readonly schema: unknown; readonly at: string } {
    const [, pointer] = /^#((?:\/.*)?)$/.exec(reference) ?? [];
    if (pointer === undefined) {
      throw this.#problem(field, "only references into the schema itself are supported", "Start it with #/.");
    }
    let schema = this.#root;
    let at = "";
    for (const part of pointer.split("/").slice(1)) {
      const name = unescaped(part);
      const found = isObject(schema) || Array.isArray(schema) ? (schema as Schema)[name] : undefined;
      if (found === undefined || !Object.hasOwn(schema as object, name)) {
        throw this.#problem(field, `there is no ${reference.slice(0, MAX_SHOWN)}`);
      }
      at += Array.isArray(schema) ? `[${name}]` : `.${name}`;
      schema = found;
    }
    return { schema, at };
  }

  #constants(values: readonly unknown[], schema: Schema, at: string, field: string): Expression {
    const types = schema.type === undefined ? valueTypes : (this.#typesOf(schema, new Set(["type"]), at) ?? valueTypes);
    const texts = values.filter((value) => types.some((type) => isOfType(value, type))).map(jsonText);
    if (texts.length === 0) throw this.#problem(field, "no value is of the type");
    for (const value of texts) this.#nConstants += value.length;
    if (this.#nConstants > MAX_CONSTANTS) {
      throw this.#problem(field, `the constants have more than ${MAX_CONSTANTS} characters`);
    }
    return choice(...[...new Set(texts)].map(text));
  }

  /** Types of the schema's values; undefined: any value. */
  #typesOf(schema: Schema, keywords: ReadonlySet<string>, at: string): readonly ValueType[] | undefined {
    const { type } = schema;
    const restricted = [...keywords].flatMap((name) => keywordOf(name)?.of ?? []);
    if (type === undefined) {
      if (restricted.length === 0) return undefined;
      // A schema without a type says nothing of values of other types: those that it describes are meant.
      const types = new Set(restricted);
      if (types.has("number")) types.delete("integer");
      return [...types];
    }
    const types: unknown[] = Array.isArray(type) ? type : [type];
    const known = types.filter((one): one is ValueType => valueTypes.some((name) => name === one));
    if (known.length < types.length || known.length === 0) {
      throw this.#problem(
        `${at}.type`,
        `expected one of ${valueTypes.join(", ")}, or a list of them, found ${shown(type)}`,
      );
    }
    for (const name of keywords) {
      const of = keywordOf(name)?.of;
      if (of === undefined || of.some((one) => known.includes(one))) continue;
      throw this.#problem(`${at}.${name}`, `this keyword restricts only ${of.join(" and ")}`, "Leave it out.");
    }
    const distinct = new Set(known);
    if (distinct.has("number")) distinct.delete("integer");
    return [...distinct];
  }

  #typed(type: ValueType, schema: Schema, at: string, depth: number): Expression {
    switch (type) {
      case "null":
        return text("null");
      case "boolean":
        return choice(text("true"), text("false"));
      case "integer":
      case "number":
        return this.#number(type, schema, at);
      case "string":
        return this.#string(schema, at);
      case "array":
        return this.#array(schema, at, depth);
      case "object":
        return this.#object(schema, at, depth);
    }
  }

  #number(type: "integer" | "number", schema: Schema, at: string): Expression {
    const bound = (inclusive: string, exclusive: string, tighter: (a: number, b: number) => number) => {
      const [own, open] = [inclusive, exclusive].map((name) => {
        const value = schema[name];
        if (value !== undefined && (typeof value !== "number" || !Number.isFinite(value))) {
          throw this.#problem(`${at}.${name}`, "expected a number");
        }
        return value;
      });
      if (open !== undefined && (own === undefined || tighter(own, open) === open))
        return { value: open, isExclusive: true };
      return own === undefined ? undefined : { value: own, isExclusive: false };
    };
    const names = ["minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"];
    if (names.every((name) => schema[name] === undefined)) return rule(type === "integer" ? ANY_INTEGER : ANY_NUMBER);
    const bounds: Bounds = {
      min: bound("minimum", "exclusiveMinimum", Math.max),
      max: bound("maximum", "exclusiveMaximum", Math.min),
    };
    const found = type === "integer" ? integerWithin(bounds) : numberWithin(bounds);
    if (found !== undefined) return this.#counted(found);
    const { min, max } = bounds;
    const name =
      min === undefined
        ? max?.isExclusive
          ? "exclusiveMaximum"
          : "maximum"
        : min.isExclusive
          ? "exclusiveMinimum"
          : "minimum";
    throw this.#problem(`${at}.${name}`, "no number of at most 15 digits is within the bounds");
  }

  #string(schema: Schema, at: string): Expression {
    const { pattern, format } = schema;
    const min = this.#count(schema, "minLength", at);
    const max = this.#count(schema, "maxLength", at);
    const sized = schema.minLength === undefined ? "maxLength" : "minLength";
    if (pattern !== undefined || format !== undefined) {
      const name = pattern === undefined ? "format" : "pattern";
      if (min !== undefined || max !== undefined)
        throw this.#problem(`${at}.${sized}`, `${sized} beside ${name} is not supported`);
      if (pattern !== undefined && format !== undefined)
        throw this.#problem(`${at}.format`, "format beside pattern is not supported");
    }
    if (format !== undefined) {
      const regex = typeof format === "string" && Object.hasOwn(formats, format) ? formats[format] : undefined;
      if (regex === undefined) {
        throw this.#problem(
          `${at}.format`,
          `expected one of ${Object.keys(formats).join(", ")}`,
          "Leave it out, or write a pattern.",
        );
      }
      const name = `${this.#prefix}format ${String(format)}`;
      if (this.#rules.has(name)) return rule(name);
      const path = `${this.#path}${at}.format`;
      return this.#named(name, this.#counted(quoted(parseRegex(regex, { path, character: stringCharacter }))));
    }
    if (pattern !== undefined) {
      if (typeof pattern !== "string") throw this.#problem(`${at}.pattern`, "expected a string");
      const path = `${this.#path}${at}.pattern`;
      return this.#counted(quoted(parseRegex(pattern, { path, character: stringCharacter, isSearch: true })));
    }
    if (min === undefined && max === undefined) return anyString;
    this.#checkOrder(min, max, `${at}.${sized}`);
    return quoted(repeat(anyStringCharacter, min ?? 0, max));
  }

  #array(schema: Schema, at: string, depth: number): Expression {
    const { items, prefixItems } = schema;
    const min = this.#count(schema, "minItems", at) ?? 0;
    const max = this.#count(schema, "maxItems", at);
    this.#checkOrder(min, max, `${at}.minItems`);
    if (Array.isArray(items)) throw this.#problem(`${at}.items`, "a list is not supported", "Write prefixItems.");
    if (prefixItems === undefined) {
      if (items === undefined && min === 0 && max === undefined) return rule(ANY_ARRAY);
      if (items === false) return this.#noMore(min, 0, at) ?? text("[]");
      const item = this.#item(items ?? true, at, depth);
      return sequence(text("["), list(item, min, max), text("]"));
    }
    if (!Array.isArray(prefixItems)) throw this.#problem(`${at}.prefixItems`, "expected a list");
    const first = prefixItems.map((item: unknown, i) => this.#expressionOf(item, `${at}.prefixItems[${i}]`, depth + 1));
    const hasMore = items !== undefined && items !== false && (max === undefined || max > first.length);
    if (!hasMore) this.#noMore(min, first.length, at);
    const comma = text(COMMA);
    let rest: Expression = empty;
    if (hasMore) {
      const item = this.#item(items, at, depth);
      if (first.length === 0) return sequence(text("["), list(item, min, max), text("]"));
      const most = max === undefined ? undefined : max - first.length;
      rest = repeat(sequence(comma, item), Math.max(0, min - first.length), most);
    }
    for (let i = first.length - 1; i >= 0; i--) {
      if (max !== undefined && i >= max) continue;
      const own = sequence(i === 0 ? empty : comma, first[i] as Expression, rest);
      rest = i < min ? own : optional(own);
    }
    return sequence(text("["), rest, text("]"));
  }

  /** A rule: lists have it in two places. */
  #item(items: unknown, at: string, depth: number): Expression {
    return this.#named(`${this.#prefix}item ${at}`, this.#expressionOf(items, `${at}.items`, depth + 1));
  }

  /** @throws if more items are needed than there can be. */
  #noMore(min: number, most: number, at: string): undefined {
    if (min > most) throw this.#problem(`${at}.minItems`, `there can be only ${most} items`);
  }

  #object(schema: Schema, at: string, depth: number): Expression {
    const { properties = {}, required = [], additionalProperties: more } = schema;
    if (!isObject(properties)) throw this.#problem(`${at}.properties`, "expected an object");
    if (!Array.isArray(required) || required.some((name) => typeof name !== "string")) {
      throw this.#problem(`${at}.required`, "expected a list of strings");
    }
    const needed = new Set(required as string[]);
    const least = this.#count(schema, "minProperties", at) ?? 0;
    if (least > needed.size)
      throw this.#problem(
        `${at}.minProperties`,
        "more properties than the required ones are not supported",
        "List them in required.",
      );
    const hasMore = more === undefined ? Object.keys(properties).length === 0 : more !== false;
    if (Object.keys(properties).length === 0 && needed.size === 0 && hasMore && (more === undefined || more === true)) {
      return rule(ANY_OBJECT);
    }
    const moreSchema = more === undefined || more === false ? true : more;
    const names = [...new Set([...Object.keys(properties), ...needed])];
    const members = names.map((name) => {
      const isKnown = Object.hasOwn(properties, name);
      if (!isKnown && more === false)
        throw this.#problem(`${at}.required`, `${name.slice(0, MAX_SHOWN)} is not among the properties`);
      const field = isKnown ? `${at}.properties.${name.slice(0, MAX_SHOWN)}` : `${at}.additionalProperties`;
      const value = this.#expressionOf(isKnown ? properties[name] : moreSchema, field, depth + 1);
      return { isNeeded: needed.has(name), expression: sequence(text(`${JSON.stringify(name)}${COLON}`), value) };
    });
    const added = hasMore
      ? sequence(
          names.length === 0 ? anyString : stringExcept(names, this.#size),
          text(COLON),
          this.#expressionOf(moreSchema, `${at}.additionalProperties`, depth + 1),
        )
      : undefined;
    return sequence(text("{"), this.#members(members, added), text("}"));
  }

  /** Members in their order: for each place a rule with and one without a member before it. */
  #members(
    members: readonly { readonly isNeeded: boolean; readonly expression: Expression }[],
    added: Expression | undefined,
  ): Expression {
    const prefix = `${this.#prefix}members ${this.#rules.size}`;
    const comma = text(COMMA);
    let first: Expression = added === undefined ? empty : list(added, 0, undefined);
    let next: Expression = added === undefined ? empty : repeat(sequence(comma, added), 0, undefined);
    for (let i = members.length - 1; i >= 0; i--) {
      const { isNeeded, expression } = members[i] as (typeof members)[number];
      const afterThis = this.#named(`${prefix} ${i}`, next);
      const own = sequence(expression, afterThis);
      first = isNeeded ? own : choice(own, this.#named(`${prefix} ${i} first`, first));
      next = isNeeded ? sequence(comma, own) : choice(sequence(comma, own), afterThis);
    }
    return first;
  }

  #named(name: string, expression: Expression): Expression {
    if (expression.kind === "rule" || expression === empty) return expression;
    this.#rules.set(name, expression);
    return rule(name);
  }

  /** What is built at once: it counts before there is more of it. */
  #counted(expression: Expression): Expression {
    this.#size.addAll(expression);
    return expression;
  }

  #count(schema: Schema, name: string, at: string): number | undefined {
    const value = schema[name];
    if (value === undefined) return undefined;
    if (!Number.isInteger(value) || (value as number) < 0)
      throw this.#problem(`${at}.${name}`, "expected a whole number");
    const isLeast = name.startsWith("min");
    if (isLeast && (value as number) > MAX_REPEAT)
      throw this.#problem(`${at}.${name}`, `it is more than ${MAX_REPEAT}`);
    return Math.min(value as number, MAX_REPEAT);
  }

  #checkOrder(min: number | undefined, max: number | undefined, field: string): void {
    if (min !== undefined && max !== undefined && min > max)
      throw this.#problem(field, "the minimum is above the maximum");
  }

  #problem(at: string, problem: string, hint?: string) {
    return grammarProblem(`${this.#path}${at}`, problem, hint ?? "Correct the schema.");
  }
}

function isOfType(value: unknown, type: ValueType): boolean {
  return type === "integer" ? Number.isInteger(value) : kindOfValue(value) === type;
}

function isObject(value: unknown): value is Schema {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function unescaped(part: string): string {
  let decoded = part;
  try {
    decoded = decodeURIComponent(part);
  } catch {
    // As it is: a name with a percent sign.
  }
  return decoded.replaceAll("~1", "/").replaceAll("~0", "~");
}
