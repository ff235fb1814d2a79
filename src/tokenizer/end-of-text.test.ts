import { describe, expect, it } from "vitest";
import { type GgufVocabulary, tokenTypes } from "../formats/gguf/gguf-vocabulary.ts";
import { endOfText } from "./end-of-text.ts";

function vocabulary(tokens: readonly string[], more: Partial<GgufVocabulary> = {}): GgufVocabulary {
  return {
    ...{ model: "gpt2", pre: undefined, tokens, merges: [], scores: undefined, ids: new Map() },
    ...{ addsBos: undefined, addsSpacePrefix: undefined, chatTemplate: undefined },
    toolTemplate: undefined,
    types: tokens.map(() => tokenTypes.normal),
    ...more,
  };
}

describe("endOfText, by llama.cpp's rules", () => {
  it("knows tokens by their text, whatever their type", () => {
    const { ids, types } = endOfText(
      vocabulary(["a", "<|im_end|>", "<end_of_turn>", "<|file_sep|>", "<|fim_prefix|>"]),
    );
    expect([...ids].sort()).toEqual([1, 2, 3]);
    expect([...types]).toEqual(expect.arrayContaining([1, 2, 3, 4].map((id) => [id, tokenTypes.control])));
  });

  it("takes the ids that the file names", () => {
    const ids = new Map([
      ["eos", 0],
      ["eot", 1],
      ["fim_pad", 2],
      ["bos", 3],
    ]);
    const found = endOfText(vocabulary(["a", "b", "c", "d", "<|fim_pad|>"], { ids }));
    expect(found.ids).toEqual([0, 1, 2]);
    expect(found.types.size).toBe(0);
  });

  it("takes no other token for one of code infilling that the file names", () => {
    const tokens = ["a", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"];
    for (const names of [
      ["fim_pre", "fim_suf", "fim_mid"],
      ["prefix", "suffix", "middle"],
    ]) {
      const ids = new Map(names.map((name) => [name, 0]));
      expect(endOfText(vocabulary(tokens, { ids })).types.size).toBe(0);
    }
    expect(endOfText(vocabulary(tokens)).types.size).toBe(3);
  });

  it("leaves out a token that separates messages", () => {
    const harmony = endOfText(vocabulary(["<|end|>", "<|return|>", "<|call|>"]));
    expect([...harmony.ids].sort()).toEqual([1, 2]);
    expect(harmony.types.get(0)).toBe(tokenTypes.userDefined);
    expect([...endOfText(vocabulary(["<|end|>", "<|flush|>", "<|calls|>"])).ids].sort()).toEqual([1, 2]);
    expect([...endOfText(vocabulary(["<|end|>", "<|call|>"])).ids].sort()).toEqual([0, 1]);
  });

  it("leaves out </s> where it is an ordinary text", () => {
    expect(endOfText(vocabulary(["</s>", "<|tool_response>"])).ids).toEqual([1]);
    expect(endOfText(vocabulary(["</s>", "<|plamo:eos|>"], { ids: new Map([["eos", 1]]) })).ids).toEqual([1]);
    expect(endOfText(vocabulary(["</s>"])).types.get(0)).toBe(tokenTypes.control);
    expect(endOfText(vocabulary(["</s>"], { merges: ["</ s>"] })).types.size).toBe(0);
  });
});
