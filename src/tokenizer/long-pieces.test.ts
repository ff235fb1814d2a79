import { Tokenizer as Library } from "@huggingface/tokenizers";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { TokenizerJson } from "../formats/files/tokenizer-json.ts";
import { LONG_PIECE, LongPieceMerger } from "./long-pieces.ts";
import { Tokenizer } from "./tokenizer.ts";

const letters = ["a", "b", "c", "d"];

/** A vocabulary with random merges. */
const models = fc.array(fc.tuple(fc.nat(), fc.nat()), { maxLength: 40 }).map((draws): TokenizerJson["model"] => {
  const tokens = [...letters];
  const merges: string[] = [];
  for (const [i, j] of draws) {
    const [left = "", right = ""] = [tokens[i % tokens.length], tokens[j % tokens.length]];
    if (tokens.includes(left + right)) continue;
    tokens.push(left + right);
    merges.push(`${left} ${right}`);
  }
  return { type: "BPE", vocab: Object.fromEntries(tokens.map((token, id) => [token, id])), merges };
});

const json = (model: TokenizerJson["model"]): TokenizerJson => ({
  added_tokens: [],
  normalizer: null,
  pre_tokenizer: null,
  model,
});

describe("LongPieceMerger", () => {
  it("gives the library's tokens for any vocabulary and text", () => {
    const texts = fc.string({ unit: fc.constantFrom(...letters, "e", "😀"), maxLength: 400 });
    fc.assert(
      fc.property(models, texts, (model, text) => {
        const library = new Library({ ...json(model), post_processor: null, decoder: null } as never, {}).model;
        if (library === null) throw new Error("no model");
        const ids = library.encode([text]).flatMap((token: string) => model.vocab[token] ?? []);
        expect(new LongPieceMerger(model).merge(text, () => [])).toEqual(ids);
      }),
    );
  });

  it("uses the fallback for a character that is not a token", () => {
    const merger = new LongPieceMerger({ type: "BPE", vocab: { a: 0, aa: 1 }, merges: ["a a"] });
    expect(merger.merge("aa😀a", (character) => (character === "😀" ? [7, 8] : []))).toEqual([1, 7, 8, 0]);
  });

  it("merges a million characters without a break", () => {
    const vocab = Object.fromEntries(["a", "b", "ab", "aa", "aaaa", "abab"].map((token, id) => [token, id]));
    const model = { type: "BPE" as const, vocab, merges: ["a b", "a a", "aa aa", "ab ab"] };
    const tokenizer = new Tokenizer(json(model), { eosIds: [] }, "t");
    expect(tokenizer.encode("a".repeat(1_000_000))).toHaveLength(250_000);
    expect(tokenizer.encode("ab".repeat(500_000))).toHaveLength(250_000);
    expect(tokenizer.encode("a".repeat(LONG_PIECE + 1))).toEqual([...Array(LONG_PIECE / 4).fill(4), 0]);
  }, 60_000);

  it("keeps a long token of the vocabulary whole with ignore_merges", () => {
    const long = "a".repeat(LONG_PIECE);
    const model = { type: "BPE" as const, vocab: { a: 0, aa: 1, [long]: 2 }, merges: ["a a"] };
    const encode = (ignore: boolean, text: string) =>
      new Tokenizer(json({ ...model, ignore_merges: ignore }), { eosIds: [] }, "t").encode(text);
    expect(encode(true, long)).toEqual([2]);
    expect(encode(false, long)).toEqual(Array(LONG_PIECE / 2).fill(1));
  });
});
