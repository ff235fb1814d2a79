import { describe, expect, it } from "vitest";
import type { GgufValue } from "../formats/gguf/gguf.ts";
import { toByteLevel } from "./byte-level.ts";
import { tokenizerFromGguf } from "./gguf-tokenizer.ts";

/** A byte-level tokenizer with ASCII, and the tokens of `merges`. */
function byteLevel(
  pre: string | undefined,
  merges: readonly (readonly [string, string])[],
  more: [string, GgufValue][] = [],
) {
  const bytes = Array.from({ length: 128 }, (_, byte) => toByteLevel(String.fromCharCode(byte)));
  const written = merges.map(([left, right]) => [toByteLevel(left), toByteLevel(right)] as const);
  const tokens = [...new Set([...bytes, ...written.map((pair) => pair.join(""))])];
  const metadata = new Map<string, GgufValue>([
    ["tokenizer.ggml.model", "gpt2"],
    ...(pre === undefined ? [] : [["tokenizer.ggml.pre", pre] as const]),
    ["tokenizer.ggml.tokens", tokens],
    ["tokenizer.ggml.merges", written.map((pair) => pair.join(" "))],
    ...more,
  ]);
  const tokenizer = tokenizerFromGguf(metadata, "file.gguf");
  return (text: string) => tokenizer?.encode(text).map((id) => tokenizer.decode([id]));
}

describe("pre-tokenizers by name", () => {
  it("splits as llama.cpp does where the file does not say how", () => {
    const merges = [
      ["'", "s"],
      ["1", "2"],
      ["12", "3"],
      ["123", "4"],
      [".", "."],
      [" ", "("],
    ] as const;
    for (const pre of [undefined, "default"]) {
      expect(byteLevel(pre, merges)("a's 1234.. (")).toEqual(["a", "'", "s", " ", "123", "4", "..", " ", "("]);
    }
    expect(byteLevel("gpt-2", merges)("a's 1234.. (")).toEqual(["a", "'s", " ", "1234", "..", " ("]);
  });
});
