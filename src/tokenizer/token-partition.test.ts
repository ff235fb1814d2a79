import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import type { AddedToken } from "../formats/files/tokenizer-json.ts";
import { TokenPartition } from "./token-partition.ts";

const tokensOf = (contents: readonly string[], special: (content: string) => boolean): AddedToken[] =>
  contents.map((content, id) => ({ id, content, special: special(content) }));

/** llama.cpp's rule in its plainest form: each token in turn, the longest first, in what is left of the text. */
function plainly(text: string, tokens: readonly AddedToken[]): (string | number)[] {
  const longestFirst = [...tokens].sort((a, b) => Buffer.byteLength(b.content) - Buffer.byteLength(a.content));
  return longestFirst
    .reduce<(string | number)[]>(
      (parts, { content, id }) =>
        parts.flatMap((part) =>
          typeof part === "number"
            ? [part]
            : part.split(content).flatMap((piece, i) => (i > 0 ? [id, piece] : [piece])),
        ),
      [text],
    )
    .filter((part) => part !== "");
}

describe("TokenPartition", () => {
  it("finds the longest token first, as the plain rule does", () => {
    const word = fc
      .array(fc.constantFrom("a", "b", "é", "😀"), { minLength: 1, maxLength: 4 })
      .map((all) => all.join(""));
    const text = fc.array(fc.constantFrom("a", "b", "é", "😀", " "), { maxLength: 20 }).map((all) => all.join(""));
    fc.assert(
      fc.property(fc.uniqueArray(word, { minLength: 1, maxLength: 6 }), text, (contents, given) => {
        const tokens = tokensOf(contents, (content) => content.startsWith("a"));
        const found = new TokenPartition(tokens);
        expect(found.split(given, true)).toEqual(plainly(given, tokens));
        expect(found.split(given, false)).toEqual(
          plainly(
            given,
            tokens.filter(({ special }) => !special),
          ),
        );
      }),
    );
  });

  it("takes time for the tokens that a text has, not for all", () => {
    const contents = ["\n", "\n\n", ...Array.from({ length: 6000 }, (_, i) => `<unused${i}>`)];
    const found = new TokenPartition(tokensOf(contents, () => false));
    const includes = vi.spyOn(String.prototype, "includes");
    try {
      expect(found.split("a\n\nb\n".repeat(100), true)).toHaveLength(400);
      expect(includes.mock.calls.length).toBeLessThanOrEqual(300);
    } finally {
      includes.mockRestore();
    }
  });

  it("finds other tokens in special ones that do not count", () => {
    const found = new TokenPartition(tokensOf(["<|ab|>", "ab"], (content) => content.startsWith("<")));
    expect(found.split("x<|ab|>", true)).toEqual(["x", 0]);
    expect(found.split("x<|ab|>", false)).toEqual(["x<|", 1, "|>"]);
    expect(found.split("", true)).toEqual([]);
  });
});
