import { isIP } from "node:net";
import { Ajv2020 } from "ajv/dist/2020.js";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { accepts, randomText, walkChoices, walkVocabulary } from "../../../test/support/grammar-walk.ts";
import { IdlmError } from "../../errors.ts";
import { Grammars } from "../grammars.ts";
import type { GrammarState } from "../grammar-state.ts";
import { formats } from "./formats.ts";
import { jsonText } from "./json-text.ts";
import { schemaKeywords } from "./keywords.ts";

const grammars = new Grammars(walkVocabulary);
const startOf = (schema: unknown): GrammarState => grammars.compile({ kind: "schema", schema }).start;

/** Independent of the regular expressions in formats.ts. */
const formatChecks: Readonly<Record<string, (text: string) => boolean>> = {
  date: isDate,
  time: isTime,
  "date-time": (text) =>
    isDate(text.slice(0, 10)) && text[10] === "T" && isTime(text.slice(11)) && !Number.isNaN(Date.parse(text)),
  duration: (text) => /^P(?!$)(\d+W|(\d+Y)?(\d+M)?(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+S)?)?)$/.test(text),
  email: (text) => /^[^@\s"]+@([a-z0-9-]+\.)+[a-z]+$/i.test(text) && text.length < 254 && !/\.\.|^\.|\.@/.test(text),
  hostname: (text) =>
    text.length <= 253 && text.split(".").every((label) => /^(?!-)[a-z0-9-]{1,63}(?<!-)$/i.test(label)),
  ipv4: (text) => isIP(text) === 4,
  ipv6: (text) => isIP(text) === 6,
  uri: (text) => URL.canParse(text.replace(/\/\/[^/?#:]*/, "//host")),
  uuid: (text) => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text),
  "json-pointer": (text) => text === "" || (text.startsWith("/") && !/~(?![01])/.test(text)),
};

function isDate(text: string): boolean {
  return /^\d{4}-\d\d-\d\d$/.test(text) && new Date(`${text}T00:00:00Z`).toISOString().startsWith(text);
}

function isTime(text: string): boolean {
  const match = /^(\d\d):(\d\d):(\d\d)(\.\d+)?(Z|[+-](\d\d):(\d\d))$/.exec(text);
  return (
    match !== null &&
    Number(match[1]) < 24 &&
    Number(match[2]) < 60 &&
    Number(match[3]) < 60 &&
    Number(match[6] ?? 0) < 24 &&
    Number(match[7] ?? 0) < 60
  );
}

const ajv = new Ajv2020({ strict: false, formats: formatChecks, validateSchema: false });

const smallNumber = fc.oneof(
  fc.integer({ min: -120, max: 120 }),
  fc.integer({ min: -999, max: 999 }).map((n) => n / 100),
  fc.constantFrom(0, 0.5, -0.25, 1e9, -1e6, 123.456),
);
const name = fc.constantFrom("a", "b", "ab", "name", "é", 'q"', "x y", "\\");
/** Ajv fails on constants with keys of Object.prototype. */
const inherited = new RegExp(`"(${Object.getOwnPropertyNames(Object.prototype).join("|")})"`);
const value = fc.jsonValue({ maxDepth: 2 }).filter((own) => !inherited.test(JSON.stringify(own)));

/** `undefined` entries are left out. */
const given = (entries: Record<string, fc.Arbitrary<unknown>>) =>
  fc
    .record(Object.fromEntries(Object.entries(entries).map(([key, of]) => [key, fc.option(of, { nil: undefined })])))
    .map((found) => Object.fromEntries(Object.entries(found).filter(([, one]) => one !== undefined)));

const size = fc.nat(5);
const { schema: anySchema } = fc.letrec((tie) => ({
  schema: fc.oneof(
    { maxDepth: 3, depthSize: "small" },
    given({
      type: fc.constantFrom("string", "boolean", "null", "integer", "number", "object", "array", ["string", "null"]),
    }),
    given({ minLength: size, maxLength: size }).map((own) => ({ type: "string", ...own })),
    fc
      .constantFrom("^a+b?$", "a|b", "^(x|yz){2,3}$", "[^a-z]", '^["\\\\\\n]{1,3}$', "é.", "^$")
      .map((pattern) => ({ type: "string", pattern })),
    fc.constantFrom(...Object.keys(formats)).map((format) => ({ type: "string", format })),
    fc
      .tuple(
        fc.constantFrom("integer", "number"),
        given({
          minimum: smallNumber,
          maximum: smallNumber,
          exclusiveMinimum: smallNumber,
          exclusiveMaximum: smallNumber,
        }),
      )
      .map(([type, own]) => ({ type, ...own })),
    fc.array(value, { minLength: 1, maxLength: 4 }).map((values) => ({ enum: values })),
    value.map((own) => ({ const: own })),
    fc
      .tuple(
        given({
          items: tie("schema"),
          minItems: size,
          maxItems: size,
          prefixItems: fc.array(tie("schema"), { maxLength: 3 }),
        }),
      )
      .map(([own]) => ({ type: "array", ...own })),
    fc
      .tuple(
        fc.dictionary(name, tie("schema"), { maxKeys: 4 }),
        fc.array(name, { maxLength: 3 }),
        fc.option(fc.oneof(fc.boolean(), tie("schema")), { nil: undefined }),
      )
      .map(([properties, required, additionalProperties]) => ({
        type: "object",
        properties,
        required: [...new Set(required)],
        ...(additionalProperties === undefined ? {} : { additionalProperties }),
      })),
    fc.array(tie("schema"), { minLength: 1, maxLength: 3 }).map((anyOf) => ({ anyOf })),
    fc.array(tie("schema"), { minLength: 1, maxLength: 3 }).map((oneOf) => ({ oneOf })),
    tie("schema").map((own) => ({ allOf: [own] })),
    fc.constantFrom("#/$defs/list", "#/$defs/leaf").map(($ref) => ({ $ref })),
  ),
}));
const withDefinitions = anySchema.map((schema) => ({
  ...(schema as object),
  $defs: {
    leaf: { type: "string", maxLength: 2 },
    list: {
      type: "object",
      properties: { value: { $ref: "#/$defs/leaf" }, next: { anyOf: [{ $ref: "#/$defs/list" }, { type: "null" }] } },
      required: ["value", "next"],
    },
  },
}));

describe("JSON schemas", () => {
  it("are refused, or every text of the grammar is a value of the schema", () => {
    const counts = { refused: 0, checked: 0, endless: 0 };
    fc.assert(
      fc.property(withDefinitions, fc.array(walkChoices, { minLength: 3, maxLength: 3 }), (schema, walks) => {
        let start: GrammarState;
        try {
          start = startOf(schema);
        } catch (error) {
          expect(error).toBeInstanceOf(IdlmError);
          counts.refused++;
          return;
        }
        const validate = ajv.compile(schema);
        for (const walk of walks) {
          const text = randomText(start, walk);
          if (text === undefined) counts.endless++;
          else {
            const isValid = validate(JSON.parse(text));
            if (!isValid) throw new Error(`${text}: ${ajv.errorsText(validate.errors)}`);
            counts.checked++;
          }
        }
      }),
      { numRuns: Number(process.env.IDLM_SCHEMAS ?? 300) },
    );
    expect(counts.checked).toBeGreaterThan(4 * counts.refused);
    expect(counts.endless).toBeLessThan(counts.checked / 8);
  });

  it("accept every JSON value where nothing restricts it", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (own) => {
        // Numbers have at most 15 digits.
        fc.pre(!/\d{16}|e[+-]\d{3}/.test(jsonText(own)));
        expect(accepts(startOf({}), jsonText(own).toWellFormed())).toBe(true);
      }),
    );
  });

  it("accept exactly the numbers within bounds", () => {
    const bounds = given({
      minimum: smallNumber,
      maximum: smallNumber,
      exclusiveMinimum: smallNumber,
      exclusiveMaximum: smallNumber,
    });
    fc.assert(
      fc.property(
        fc.constantFrom("integer", "number"),
        bounds,
        fc.array(smallNumber, { minLength: 5 }),
        (type, own, values) => {
          const schema = { type, ...own };
          const validate = ajv.compile(schema);
          let start: GrammarState | undefined;
          try {
            start = startOf(schema);
          } catch (error) {
            expect(error).toBeInstanceOf(IdlmError);
          }
          const near = Object.values(own).flatMap((bound) => [
            bound as number,
            (bound as number) + 0.01,
            (bound as number) - 1,
          ]);
          for (const number of [...values, ...near].map((one) => Math.round(one * 1000) / 1000)) {
            expect([number, start !== undefined && accepts(start, JSON.stringify(number))]).toEqual([
              number,
              validate(number),
            ]);
          }
        },
      ),
      { numRuns: 500 },
    );
  });

  it.each<[unknown, string, string[], string[]]>([
    [
      { type: "object", properties: { a: { type: "integer" }, b: { type: "null" } }, required: ["b"] },
      "properties in their order",
      ['{"b": null}', '{"a": 1, "b": null}'],
      ['{"a": 1}', '{"b": null, "a": 1}', "{}", '{"b":null}'],
    ],
    [
      { type: "object", properties: { a: { type: "integer" } }, additionalProperties: { type: "boolean" } },
      "other properties",
      ['{"b": true}', '{"a": 1, "ab": true}', '{"": false}', "{}"],
      ['{"a": true}', '{"b": 1}', '{"a": 1, "a": true}', '{"\\u0061": true}'],
    ],
    [
      { type: "array", items: { type: "integer" }, minItems: 1, maxItems: 2 },
      "lists",
      ["[1]", "[1, 2]"],
      ["[]", "[1, 2, 3]", "[1,2]", '["a"]'],
    ],
    [
      { type: "array", prefixItems: [{ type: "integer" }, { const: "x" }], minItems: 1 },
      "tuples",
      ["[1]", '[1, "x"]'],
      ["[]", '[1, "x", 2]', '["x"]'],
    ],
    [{ oneOf: [{ type: "string" }, { type: "integer" }] }, "other types", ['"a"', "1"], ["1.5", "null"]],
    [
      {
        oneOf: [
          { type: "object", properties: { k: { const: "a" }, v: { type: "null" } }, required: ["k", "v"] },
          { type: "object", properties: { k: { enum: ["b", "c"] } }, required: ["k"] },
        ],
      },
      "tagged objects",
      ['{"k": "a", "v": null}', '{"k": "c"}'],
      ['{"k": "a"}', '{"k": "d"}'],
    ],
    [{ type: ["string", "null"], enum: ["a", 1, null] }, "constants of a type", ['"a"', "null"], ["1"]],
    [{ type: "string", maxLength: 2 }, "characters, not bytes", ['"😀é"', '"\\n\\u00e9"'], ['"abc"', '"\\n\\n\\n"']],
    [{ $ref: "#/$defs/a~1b", $defs: { "a/b": { type: "null" } } }, "references", ["null"], ["1"]],
  ])("%j: %s", (schema, _, right, wrong) => {
    const start = startOf(schema);
    expect(right.filter((own) => !accepts(start, own))).toEqual([]);
    expect(wrong.filter((own) => accepts(start, own))).toEqual([]);
  });

  it.each(Object.entries(schemaKeywords).filter(([, { treatment }]) => treatment === "refused"))(
    "refuse %s by its name",
    (keyword) => {
      const schema = { type: "object", properties: { a: { [keyword]: true } } };
      expect(() => startOf(schema)).toThrow(`grammar.schema.properties.a.${keyword}: this keyword is not supported`);
    },
  );

  it.each<[unknown, string]>([
    [{ type: "string", minLength: 1, pattern: "a" }, "grammar.schema.minLength: minLength beside pattern"],
    [{ type: "string", format: "idn-email" }, "grammar.schema.format: expected one of date"],
    [{ type: "strnig" }, 'or a list of them, found "strnig"'],
    [{ type: "object", propertys: {} }, "grammar.schema.propertys: unknown keyword"],
    [{ type: "string", minimum: 3 }, "grammar.schema.minimum: this keyword restricts only integer and number"],
    [{ allOf: [{ type: "string" }, {}] }, "grammar.schema.allOf: several schemas"],
    [{ anyOf: [{}], type: "string" }, "grammar.schema.type: type beside anyOf"],
    [{ oneOf: [{ type: "integer" }, { type: "number" }] }, "grammar.schema.oneOf: a value may match several"],
    [{ $ref: "http://example.com/a" }, "grammar.schema.$ref: only references into the schema itself"],
    [{ $ref: "#/$defs/a" }, "grammar.schema.$ref: there is no #/$defs/a"],
    [{ $ref: "#" }, "can start with itself"],
    [{ type: "object", properties: { a: { $ref: "#" } }, required: ["a"] }, "no text can match it"],
    [{ type: "integer", minimum: 3, maximum: 2 }, "grammar.schema.minimum: no number"],
    [{ type: "array", items: {}, minItems: 1e9 }, "grammar.schema.minItems: it is more than"],
    [{ type: "array", prefixItems: [], minItems: 1 }, "grammar.schema.minItems: there can be only 0"],
    [
      { type: "object", properties: {}, required: ["a"], additionalProperties: false },
      "grammar.schema.required: a is not among",
    ],
    [{ type: "object", minProperties: 2 }, "grammar.schema.minProperties"],
    [false, "grammar.schema: false matches no value"],
    [[], "grammar.schema: expected a schema"],
    [undefined, "grammar.schema: expected a schema"],
    [{ type: "string", pattern: "(?=a)" }, "look-ahead, which is not supported"],
    [nested(3000), "nested more than 64 levels deep"],
    [{ enum: Array.from({ length: 100_000 }, (_, i) => `value ${i}`) }, "the constants have more than"],
    [
      {
        type: "object",
        properties: Object.fromEntries(Array.from({ length: 20_000 }, (_, i) => [`p${i}`, { type: "null" }])),
      },
      "more than 5000 schemas",
    ],
    [{ type: "string", pattern: "a".repeat(30_000) }, "more than 20000 characters"],
  ])("refuse %j", (schema, message) => {
    expect(() => startOf(schema)).toThrow(message);
    expect(accepts(startOf({ type: "null" }), "null")).toBe(true);
  });
});

function nested(depth: number): unknown {
  let schema: unknown = { type: "null" };
  for (let i = 0; i < depth; i++) schema = { type: "array", items: schema };
  return schema;
}
