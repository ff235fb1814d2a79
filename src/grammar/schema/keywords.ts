/** Types of JSON values that a keyword acts on. */
export type ValueType = "null" | "boolean" | "integer" | "number" | "string" | "array" | "object";

export const valueTypes: readonly ValueType[] = ["null", "boolean", "integer", "number", "string", "array", "object"];

interface Keyword {
  /**
   * enforced: every generated value satisfies it. annotation: it restricts nothing. refused: schemas with it are an
   * error that names it.
   */
  readonly treatment: "enforced" | "annotation" | "refused";
  /** Types whose values it restricts. Absent: all. */
  readonly of?: readonly ValueType[];
  /** What to know, for the documentation. */
  readonly note?: string;
}

const numbers = ["integer", "number"] as const;
const annotation = { treatment: "annotation" } as const;

/** What is done with each keyword of JSON schemas; all others are refused but names that start with `x-`. */
export const schemaKeywords = {
  type: {
    treatment: "enforced",
    note: "a name or a list; without it, the types of the other keywords, else any value",
  },
  enum: { treatment: "enforced", note: "beside it only `type` and annotations" },
  const: { treatment: "enforced", note: "beside it only `type` and annotations" },
  anyOf: { treatment: "enforced", note: "beside it only annotations" },
  oneOf: {
    treatment: "enforced",
    note: "if a value can match only one: other types, or other constants of a required property; else refused",
  },
  allOf: { treatment: "enforced", note: "of one schema; several are refused" },
  $ref: {
    treatment: "enforced",
    note: "`#` and JSON pointers in the schema, also recursive; beside it only annotations",
  },
  $defs: { treatment: "annotation", note: "schemas for `$ref`" },
  definitions: { treatment: "annotation", note: "schemas for `$ref`" },
  properties: { treatment: "enforced", of: ["object"], note: "in this order" },
  required: { treatment: "enforced", of: ["object"] },
  additionalProperties: {
    treatment: "enforced",
    of: ["object"],
    note: "default: none if there are `properties`, else any",
  },
  minProperties: { treatment: "enforced", of: ["object"], note: "if the required properties are enough; else refused" },
  items: { treatment: "enforced", of: ["array"], note: "one schema; a list is refused (use `prefixItems`)" },
  prefixItems: { treatment: "enforced", of: ["array"], note: "without `items` nothing follows them" },
  minItems: { treatment: "enforced", of: ["array"] },
  maxItems: { treatment: "enforced", of: ["array"] },
  minLength: { treatment: "enforced", of: ["string"], note: "not beside `pattern` or `format`" },
  maxLength: { treatment: "enforced", of: ["string"], note: "not beside `pattern` or `format`" },
  pattern: {
    treatment: "enforced",
    of: ["string"],
    note: "regular ones: no look-around, back references or word boundaries; not beside `format`",
  },
  format: { treatment: "enforced", of: ["string"], note: "the formats below; others are refused" },
  minimum: { treatment: "enforced", of: numbers, note: "numbers with bounds have no exponent" },
  maximum: { treatment: "enforced", of: numbers },
  exclusiveMinimum: { treatment: "enforced", of: numbers, note: "a number" },
  exclusiveMaximum: { treatment: "enforced", of: numbers, note: "a number" },
  title: annotation,
  description: annotation,
  default: annotation,
  examples: annotation,
  $schema: annotation,
  $comment: annotation,
  $id: { treatment: "annotation", note: "references are not resolved against it" },
  deprecated: annotation,
  readOnly: annotation,
  writeOnly: annotation,
  discriminator: { treatment: "annotation", note: "of OpenAPI" },
  not: { treatment: "refused" },
  if: { treatment: "refused" },
  // biome-ignore lint/suspicious/noThenProperty: the keyword's name
  then: { treatment: "refused" },
  else: { treatment: "refused" },
  multipleOf: { treatment: "refused", of: numbers },
  uniqueItems: { treatment: "refused", of: ["array"], note: "false is accepted" },
  contains: { treatment: "refused", of: ["array"] },
  minContains: { treatment: "refused", of: ["array"] },
  maxContains: { treatment: "refused", of: ["array"] },
  additionalItems: { treatment: "refused", of: ["array"] },
  unevaluatedItems: { treatment: "refused", of: ["array"], note: "false is accepted" },
  maxProperties: { treatment: "refused", of: ["object"] },
  patternProperties: { treatment: "refused", of: ["object"] },
  propertyNames: { treatment: "refused", of: ["object"] },
  dependentRequired: { treatment: "refused", of: ["object"] },
  dependentSchemas: { treatment: "refused", of: ["object"] },
  dependencies: { treatment: "refused", of: ["object"] },
  unevaluatedProperties: { treatment: "refused", of: ["object"], note: "false is accepted" },
  contentEncoding: { treatment: "refused", of: ["string"] },
  contentMediaType: { treatment: "refused", of: ["string"] },
  contentSchema: { treatment: "refused", of: ["string"] },
  $anchor: { treatment: "refused" },
  $dynamicAnchor: { treatment: "refused" },
  $dynamicRef: { treatment: "refused" },
  $recursiveRef: { treatment: "refused" },
  $vocabulary: { treatment: "refused" },
} as const satisfies Readonly<Record<string, Keyword>>;

const table: Readonly<Record<string, Keyword>> = schemaKeywords;

export function keywordOf(name: string): Keyword | undefined {
  if (name.startsWith("x-")) return annotation;
  return Object.hasOwn(table, name) ? table[name] : undefined;
}
