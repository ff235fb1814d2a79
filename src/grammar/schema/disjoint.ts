import { jsonText } from "./json-text.ts";

/** Comparisons of alternatives and of their constants. */
const MAX_COMPARISONS = 500_000;

type Schema = Readonly<Record<string, unknown>>;

interface Shape {
  /** Kinds of the values; integers are numbers. */
  readonly kinds: readonly string[];
  /** Constants of the required properties, "" for those of the value itself. */
  readonly constants: ReadonlyMap<string, ReadonlySet<string>>;
}

/**
 * Whether no value matches two of the schemas: their types differ, or a required property has other constants. `targetOf`
 * follows references. @throws `tooMany()` if they are too many to compare.
 */
export function areDisjoint(
  schemas: readonly unknown[],
  targetOf: (schema: unknown) => unknown,
  tooMany: () => Error,
): boolean {
  let nComparisons = 0;
  const compare = () => {
    if (++nComparisons > MAX_COMPARISONS) throw tooMany();
  };
  const shapes = schemas.map((schema) => shapeOf(targetOf(schema)));
  for (const [i, a] of shapes.entries()) {
    for (const b of shapes.slice(i + 1)) {
      compare();
      if (a === undefined || b === undefined) return false;
      if (a.kinds.some((kind) => b.kinds.includes(kind)) && !haveOtherConstants(a, b, compare)) return false;
    }
  }
  return true;
}

function haveOtherConstants(a: Shape, b: Shape, compare: () => void): boolean {
  for (const [name, values] of a.constants) {
    compare();
    const others = b.constants.get(name);
    if (others !== undefined && !isAnyIn(values, others, compare)) return true;
  }
  return false;
}

function isAnyIn(values: ReadonlySet<string>, others: ReadonlySet<string>, compare: () => void): boolean {
  for (const value of values) {
    compare();
    if (others.has(value)) return true;
  }
  return false;
}

/** Undefined: nothing is known of it. */
function shapeOf(schema: unknown): Shape | undefined {
  if (!isObject(schema)) return undefined;
  const constants = new Map<string, ReadonlySet<string>>();
  const values = constantsOf(schema);
  if (values !== undefined) constants.set("", new Set(values.map(jsonText)));
  const { properties, required, type } = schema;
  for (const name of Array.isArray(required) ? required : []) {
    const property = isObject(properties) && typeof name === "string" ? properties[name] : undefined;
    const found = isObject(property) ? constantsOf(property) : undefined;
    if (found !== undefined) constants.set(` ${name}`, new Set(found.map(jsonText)));
  }
  const types = values?.map(kindOfValue) ?? (Array.isArray(type) ? type : typesOf(type, isObject(properties)));
  if (types === undefined) return undefined;
  return { kinds: [...new Set(types.map((one) => (one === "integer" ? "number" : String(one))))], constants };
}

function typesOf(type: unknown, hasProperties: boolean): readonly unknown[] | undefined {
  if (type !== undefined) return [type];
  return hasProperties ? ["object"] : undefined;
}

function constantsOf(schema: Schema): readonly unknown[] | undefined {
  if (Object.hasOwn(schema, "const")) return [schema.const];
  return Array.isArray(schema.enum) ? schema.enum : undefined;
}

/** The name of a value's type. */
export function kindOfValue(value: unknown): string {
  if (value === null) return "null";
  return Array.isArray(value) ? "array" : typeof value;
}

function isObject(value: unknown): value is Schema {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
