import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SentencePieceMerger } from "./sentence-piece.ts";

/** llama.cpp's rule in its plainest form: merge the best pair, look again. */
function plainly(text: string, tokens: readonly string[], scores: readonly number[]): string[] {
  const symbols = Array.from(text);
  for (;;) {
    let best: { readonly at: number; readonly score: number } | undefined;
    for (let at = 0; at + 1 < symbols.length; at++) {
      const id = tokens.indexOf(`${symbols[at]}${symbols[at + 1]}`);
      const score = scores[id];
      if (score !== undefined && (best === undefined || score > best.score)) best = { at, score };
    }
    if (best === undefined) return symbols;
    symbols.splice(best.at, 2, `${symbols[best.at]}${symbols[best.at + 1]}`);
  }
}

describe("SentencePieceMerger", () => {
  it("merges the best neighbours first, as the plain rule does", () => {
    const letters = ["a", "b", "é", "😀"];
    const token = fc.array(fc.constantFrom(...letters, "c"), { minLength: 2, maxLength: 5 }).map((all) => all.join(""));
    const vocabulary = fc.uniqueArray(token, { maxLength: 20 });
    const scores = fc.array(fc.integer({ min: -3, max: 3 }), { minLength: 24, maxLength: 24 });
    const text = fc.array(fc.constantFrom(...letters), { maxLength: 30 }).map((all) => all.join(""));
    fc.assert(
      fc.property(vocabulary, scores, text, (longer, scored, given) => {
        const tokens = [...letters, ...longer];
        const merger = new SentencePieceMerger({ tokens, scores: scored, unknownId: undefined });
        expect(merger.encode(given).map((id) => tokens[id])).toEqual(plainly(given, tokens, scored));
      }),
    );
  });

  it("joins characters that are no tokens", () => {
    const merger = new SentencePieceMerger({ tokens: ["▁", "▁.", "<0x2E>"], scores: [0, -1, 0], unknownId: undefined });
    expect(merger.encode("▁..")).toEqual([1, 2]);
  });

  it("writes characters without a token as bytes, or as one unknown token", () => {
    const tokens = ["<unk>", "a", "<0xC3>", "<0xA9>"];
    const merger = new SentencePieceMerger({ tokens, scores: [0, 0, 0, 0], unknownId: 0 });
    expect(merger.encode("aéa日本a")).toEqual([1, 2, 3, 1, 0, 1]);
  });

  it("takes a long text", () => {
    const tokens = ["a", "aa", "aaaa"];
    const merger = new SentencePieceMerger({ tokens, scores: [0, -1, -2], unknownId: undefined });
    expect(merger.encode("a".repeat(400_000))).toEqual(new Array(100_000).fill(2));
  });
});
