import { describe, expect, it } from "vitest";
import { accepts, walkVocabulary } from "../../../test/support/grammar-walk.ts";
import { Grammars } from "../grammars.ts";

const grammars = new Grammars(walkVocabulary);
const startOf = (grammar: string) => grammars.compile({ kind: "ebnf", grammar }).start;

const arithmetic = `
# arithmetic, as in llama.cpp's grammars folder
root  ::= (expr "=" ws term "\\n")+
expr  ::= term ([-+*/] term)*
term  ::= ident | num | "(" ws expr ")" ws
ident ::= [a-z] [a-z0-9_]* ws
num   ::= [0-9]+ ws
ws    ::= [ \\t\\n]*
`;

const list = `root ::= item+

# Excludes various line break characters
item ::= "- " [^\\r\\n\\x0b\\x0c\\x85\\u2028\\u2029]+ "\\n"
`;

describe("GBNF", () => {
  it.each<[string, string[], string[]]>([
    [arithmetic, ["x=1\n", "(a+b)*2 = 4\n1=1\n"], ["x=", "=1\n", "x=1"]],
    [list, ["- a\n", "- é 😀\n- b\n"], ["-a\n", "- a", "- \u2028\n"]],
    ['root ::= "a"{2,3} [b-d]? .', ["aax", "aaabé"], ["aa", "aaaab"]],
    ['root ::= a |\n  b\na ::= "x"\nb ::= "y" (\n "z"\n | "w")*', ["x", "yzw"], ["xz", ""]],
    ['root ::= "\\"" [^"\\\\]* "\\"" "\\u00e9\\U0001F600\\x41"', ['"a"é😀A'], ['"a"']],
    ['root ::= "" | "a" root', ["", "aaa"], ["b"]],
    ["root ::= [-a] [a-] [\\]^] [^\\]]", ["-a]x", "a-^^"], ["b-]x"]],
  ])("%j", (grammar, right, wrong) => {
    const start = startOf(grammar);
    expect(right.filter((text) => !accepts(start, text))).toEqual([]);
    expect(wrong.filter((text) => accepts(start, text))).toEqual([]);
  });

  it.each([
    ["", "there is no rule root"],
    ['roots ::= "a"', "there is no rule root"],
    ["root ::= a", "there is no rule a"],
    ['root ::= a\na ::= b\nb ::= a | "x"', "can start with itself"],
    ['root ::= ("" | "a") root "b" | "c"', "can start with itself"],
    ['root ::= "a" root', "no text can match it"],
    ['root ::= "a', "line 1, column 12: a string or class is not closed"],
    ['root ::= "a"\nroot ::= "b"', "line 2, column 9: the rule root is defined twice"],
    ['root = "a"', "line 1, column 6: expected ::= after root"],
    ['root ::= ("a"', "expected )"],
    ['root ::= "a" )', "expected a new line after the rule"],
    ['root ::= "a"{3,1}', "out of order"],
    ['root ::= "a"{99999999}', "more than 1000000"],
    ['root ::= "\\q"', "\\q means nothing"],
    ["root ::= <think>", "tokens (<…>) are not supported"],
    [`root ::= ${"(".repeat(5000)}`, "nested more than 100"],
    [`root ::= ${'"abcdefghij" '.repeat(15_000)}`, "states"],
    [Array.from({ length: 11_000 }, (_, i) => `a${i} ::= "x"`).join("\n"), "more than 10000 rules"],
  ])("refused (%#)", (grammar, message) => {
    expect(() => startOf(grammar)).toThrow(message);
  });

  it("long chains of rules end", () => {
    const rules = Array.from({ length: 5000 }, (_, i) => `a${i} ::= a${i + 1}`);
    const start = startOf(["root ::= a0", ...rules, 'a5000 ::= "x"'].join("\n"));
    expect(accepts(start, "x")).toBe(true);
  });
});
