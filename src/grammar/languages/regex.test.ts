import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { accepts, walkVocabulary } from "../../../test/support/grammar-walk.ts";
import { Grammars } from "../grammars.ts";

const grammars = new Grammars(walkVocabulary);
const startOf = (pattern: string) => grammars.compile({ kind: "regex", pattern }).start;

const { pattern: anyPattern } = fc.letrec<{ pattern: string }>((tie) => ({
  pattern: fc.oneof(
    { maxDepth: 4, depthSize: "small" },
    fc.constantFrom(
      "a",
      "b",
      "é",
      "😀",
      "\\.",
      "\\n",
      ".",
      "[ab]",
      "[^a]",
      "[^\\s\\d]",
      "\\w",
      "\\S",
      "[a-cé-ü]",
      "[\\]\\-^]",
      "\\u{1f600}",
      "\\x61",
      "(?:)",
    ),
    fc.tuple(tie("pattern"), tie("pattern")).map(([a, b]) => a + b),
    fc.tuple(tie("pattern"), tie("pattern")).map(([a, b]) => `(?:${a}|${b})`),
    fc
      .tuple(tie("pattern"), fc.constantFrom("*", "+", "?", "*?", "{2}", "{1,}", "{0,3}", "{2,5}", "{0}"))
      .map(([a, quantifier]) => `(?:${a})${quantifier}`),
  ),
}));
const anyText = fc.string({
  unit: fc.constantFrom("a", "b", "c", "é", "😀", ".", "\n", "1", " ", "-", "]", "\u2028"),
  maxLength: 8,
});

describe("regular expressions", () => {
  it("match the texts that JavaScript's match", () => {
    let matches = 0;
    fc.assert(
      fc.property(anyPattern, fc.array(anyText, { minLength: 20, maxLength: 20 }), (pattern, texts) => {
        const start = startOf(pattern);
        const regex = new RegExp(`^(?:${pattern})$`, "u");
        for (const text of ["", ...texts]) {
          expect([text, accepts(start, text)]).toEqual([text, regex.test(text)]);
          if (regex.test(text)) matches++;
        }
      }),
      { numRuns: 500 },
    );
    expect(matches).toBeGreaterThan(300);
  });

  it("may have anchors at the ends of alternatives", () => {
    const start = startOf("^a$|^b|c$|d");
    expect(["a", "b", "c", "d", "ab"].map((text) => accepts(start, text))).toEqual([true, true, true, true, false]);
  });

  it.each([
    ["(?=a)b", "look-ahead"],
    ["(?<!a)b", "look-behind"],
    ["(a)\\1", "a back reference"],
    ["\\bword", "a word boundary"],
    ["\\p{L}", "\\p"],
    ["a(^b)", "^ inside"],
    ["a^b", "^ inside"],
    ["(a", "a group is not closed"],
    ["a)", "unmatched )"],
    ["[a", "it ends too early"],
    ["a{2,1}", "out of order"],
    ["a{b}", "{ starts no repetition"],
    ["a**", "two quantifiers"],
    ["*", "* must be written \\*"],
    ["[z-a]", "out of order"],
    ["\\uD800", "is no character"],
    ["a{2000000}", "more than 1000000"],
    ["(".repeat(200) + ")".repeat(200), "nested more than 100"],
    ["[]", "no text can match"],
    ["(?i)a", "(?i"],
  ])("%s: refused", (pattern, message) => {
    expect(() => startOf(pattern)).toThrow(message);
  });

  it.each([
    ["(a*)*b", "aaab"],
    ["(a|aa)+", "aaaaa"],
    ["(x+x+)+y", "xxxxy"],
    ["((a?){100}){100}b", "aab"],
    ["(.*a){30}", "a".repeat(30)],
  ])("%s: takes no exponential time", (pattern, text) => {
    expect(accepts(startOf(pattern), text)).toBe(true);
    expect(startOf(pattern).allowed).toHaveLength(9);
  });

  it("too many ways to read a text are an error, and other grammars go on", () => {
    expect(() => accepts(startOf("(a{1,500}){1,500}b"), "a".repeat(600))).toThrow(
      "there are too many ways to read the same text",
    );
    expect(accepts(startOf("a+"), "aa")).toBe(true);
  });
});
