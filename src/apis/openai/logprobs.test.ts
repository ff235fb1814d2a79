import { describe, expect, it } from "vitest";
import type { TextTokenizer } from "../../engine/types.ts";
import { completionLogprobs } from "./logprobs.ts";

/** Bytes of tokens by id; two tokens are the same text, one has none. */
const bytes = [[0xf0, 0x9f], [0x98, 0x80], [0x61], [0x61], undefined, [0xff], [0xef, 0xbf, 0xbd]];
const tokenizer = {
  tokenBytes: (id: number) => (bytes[id] === undefined ? undefined : Uint8Array.from(bytes[id])),
  stream: () => {
    const decoder = new TextDecoder();
    const push = (id: number) => decoder.decode(Uint8Array.from(bytes[id] ?? []), { stream: true });
    return { push, end: () => decoder.decode() };
  },
} as unknown as TextTokenizer;

const step = (token: number, ...top: number[]) => ({
  token,
  logprob: -token - 0.5,
  top: top.map((id) => ({ token: id, logprob: -id - 0.5 })),
});

describe("completionLogprobs", () => {
  it("has a key for each token, and offsets in characters of the text", () => {
    const steps = [step(0, 0, 5), step(1, 2, 3), step(3, 2, 3, 4), step(2, 5, 6)];
    const { tokens, token_logprobs, top_logprobs, text_offset } = completionLogprobs(steps, tokenizer, "😀aa");
    expect(tokens).toEqual(["bytes:\\xf0\\x9f", "bytes:\\x98\\x80", "a", "a"]);
    expect(token_logprobs).toEqual([-0.5, -1.5, -3.5, -2.5]);
    expect(top_logprobs).toEqual([
      { "bytes:\\xf0\\x9f": -0.5, "bytes:\\xff": -5.5 },
      { "bytes:\\x98\\x80": -1.5, a: -2.5, "bytes:\\x61": -3.5 },
      { a: -3.5, "bytes:\\x61": -2.5, "token_id:4": -4.5 },
      { a: -2.5, "bytes:\\xff": -5.5, "\ufffd": -6.5 },
    ]);
    expect(text_offset).toEqual([0, 0, 1, 2]);
  });

  it("keeps offsets within a text that a stop string has cut", () => {
    expect(completionLogprobs([step(2), step(2), step(2)], tokenizer, "a").text_offset).toEqual([0, 1, 1]);
  });
});
