import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { IdlmError } from "../errors.ts";
import type { GrammarRequest } from "./grammar.ts";
import { Grammars } from "./grammars.ts";

/** All bytes, and texts of up to five characters: reading them takes many steps from each state. */
const texts = fc.sample(fc.string({ unit: fc.constantFrom("a", "b", " ", "x", "1"), minLength: 2, maxLength: 5 }), {
  ...{ numRuns: 3000, seed: 1 },
});
const pieces = [
  ...Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte)),
  ...Array.from(new Set(texts), (text) => new TextEncoder().encode(text)),
];
const END = pieces.length;
const tokens = { vocabSize: END + 1, tokenBytes: (id: number) => pieces[id], endTokens: new Set([END]) };

/** What came of a grammar: how many tokens were drawn with it, or the error's message. Any other error is thrown. */
function drawn(request: GrammarRequest, nTokens = 12): number | string {
  try {
    let state = new Grammars(tokens).compile(request).start;
    for (let i = 0; i < nTokens; i++) {
      const { allowed, forced } = state;
      expect(forced.length).toBeLessThanOrEqual(256);
      const allowedIds = Array.from({ length: END + 1 }, (_, id) => id).filter((id) => isSet(allowed, id));
      expect(allowedIds).not.toEqual([]);
      const next = state.after(allowedIds[(i * 7919) % allowedIds.length] as number);
      if (next === undefined) throw new Error("an allowed token has no state");
      state = next;
    }
    return nTokens;
  } catch (error) {
    if (error instanceof IdlmError && error.code === "usage") return error.message;
    throw error;
  }
}

function isSet(mask: Uint32Array, id: number): boolean {
  return (((mask[id >>> 5] as number) >>> (id & 31)) & 1) === 1;
}

const times = <T>(n: number, of: (i: number) => T): T[] => Array.from({ length: n }, (_, i) => of(i));
const schema = (value: unknown): GrammarRequest => ({ kind: "schema", schema: value });
const regex = (pattern: string): GrammarRequest => ({ kind: "regex", pattern });
const ebnf = (grammar: string): GrammarRequest => ({ kind: "ebnf", grammar });
const properties = (n: number, of: (i: number) => unknown) => Object.fromEntries(times(n, (i) => [`p${i}`, of(i)]));

// Each of them took from a second to minutes without the bounds; the limit of time is that of a test.
describe("a hostile grammar is refused, or followed, in a bounded number of steps", () => {
  it.each<[string, GrammarRequest, RegExp | number]>([
    [
      "many properties",
      schema({ type: "object", properties: properties(4900, () => ({ type: "integer" })) }),
      /states/,
    ],
    [
      "many bounds",
      schema({
        type: "object",
        properties: properties(3000, (i) => ({ minimum: 0.123456789 + i, maximum: 98765432.1 })),
      }),
      /more than 150000 parts/,
    ],
    [
      "long names beside others",
      schema({
        properties: properties(9000, () => true),
        additionalProperties: true,
        required: [`${"a".repeat(99_999)}`],
      }),
      /more than 150000 parts/,
    ],
    [
      "constants to compare",
      schema({ oneOf: times(600, (i) => ({ enum: times(100, (j) => 100 * i + j) })) }),
      /oneOf: it has too many alternatives to compare/,
    ],
    ["a long reference", schema({ $ref: `#${"/a".repeat(100_000)}` }), /at most 1000 characters/],
    ["many patterns", schema({ anyOf: times(3000, (i) => ({ pattern: `\\D\\W${i}` })) }), /more than 150000 parts/],
    [
      "many ranges of characters",
      ebnf(`root ::= [${String.fromCodePoint(...times(40_000, (i) => 0x10000 + 2 * i))}]`),
      /parts/,
    ],
    ["quantifiers of quantifiers", ebnf(`root ::= [a-z]${"{0,9}".repeat(400)}`), /too many ways/],
    ["counts of all beginnings", regex("(?:.*[ a-z].{2000})"), /too many ways/],
    ["counts in counts", regex("(?:.{1,50}){1,50}"), /too many ways/],
    ["rules that use each other", ebnf(rulesInReverse(3000)), /its rules use each other too often/],
    ["nested lists", schema(nested(60)), 12],
  ])("%s", (_, request, expected) => {
    const found = drawn(request);
    if (typeof expected === "number") expect(found).toBe(expected);
    else expect(found).toMatch(expected);
  });

  it("whatever it is made of", () => {
    const atoms = ["a", ".", "\\w", "[^\u0100\u0300]", "(?:b|)", "\\S", "[a-z]"];
    const counts = ["", "*", "+", "?", "{0,1000}", "{3}", "{2,}"];
    const { pattern } = fc.letrec<{ pattern: string }>((tie) => ({
      pattern: fc.oneof(
        { maxDepth: 7 },
        fc.constantFrom(...atoms),
        fc.tuple(tie("pattern"), fc.constantFrom(...counts)).map(([part, count]) => `(?:${part})${count}`),
        fc.array(tie("pattern"), { minLength: 1, maxLength: 4 }).map((parts) => parts.join("")),
        fc.array(tie("pattern"), { minLength: 1, maxLength: 4 }).map((parts) => `(?:${parts.join("|")})`),
      ),
    }));
    const rules = fc.array(pattern, { minLength: 1, maxLength: 5 }).map((bodies) => {
      const names = bodies.map((_, i) => (i === 0 ? "root" : `r${i}`));
      const lines = names.map(
        (name, i) => `${name} ::= "x" (${names[(i * 3 + 1) % names.length]} | [a-c]){0,${i * 40}}`,
      );
      return ebnf(lines.join("\n"));
    });
    fc.assert(
      fc.property(
        fc.oneof(
          pattern.map(regex),
          rules,
          pattern.map((one) => schema({ pattern: one })),
        ),
        (request) => {
          drawn(request);
        },
      ),
      { numRuns: 150 },
    );
  });

  it("and leaves other grammars as they were", () => {
    const grammars = new Grammars(tokens);
    const before = grammars.compile({ kind: "json" }).start.allowed;
    for (const request of [ebnf(`root ::= [a-z]${"{0,9}".repeat(400)}`), ebnf("root ::= root"), schema({ not: {} })]) {
      expect(() => grammars.compile(request).start.allowed).toThrow(IdlmError);
    }
    expect(grammars.compile({ kind: "json" }).start.allowed).toEqual(before);
    expect(new Grammars(tokens).compile({ kind: "json" }).start.allowed).toEqual(before);
  });
});

/** Rules that can be empty, each of which uses all after it: what is known of one changes those before it. */
function rulesInReverse(n: number): string {
  const root = `root ::= ${times(n, (i) => `r${n - 1 - i}`).join(" ")}`;
  return [...times(n, (i) => (i === n - 1 ? `r${i} ::= "a"?` : `r${i} ::= r${i + 1} r${n - 1}`)), root].join("\n");
}

function nested(depth: number): unknown {
  return depth === 0 ? { type: "string" } : { type: "array", items: nested(depth - 1) };
}
