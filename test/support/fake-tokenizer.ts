import type { TextTokenizer } from "../../src/engine/types.ts";

const encoder = new TextEncoder();

/** Bytes of eleven tokens; two are the halves of a character, one has no bytes. */
const pieces: readonly Uint8Array[] = [
  ...["a", "b", "ab", "ba", " ", "<end>"].map((text) => encoder.encode(text)),
  Uint8Array.of(0xc3),
  Uint8Array.of(0xa9),
  encoder.encode("aab"),
  new Uint8Array(),
  encoder.encode("\n"),
];

/** A tokenizer for the fake model: every id below 11 has bytes, texts are split into single letters. */
export const fakeTokenizer: TextTokenizer = {
  encode: (text) => [...text].map((letter) => ({ a: 0, b: 1, " ": 4, "\n": 10 })[letter] ?? 9),
  encodePrompt: (text) => fakeTokenizer.encode(text),
  encodeChat: async (messages) => messages.flatMap(({ content }) => [...fakeTokenizer.encode(content), 10]),
  decode: (ids) => {
    const stream = fakeTokenizer.stream();
    return ids.map((id) => stream.push(id)).join("") + stream.end();
  },
  tokenBytes: (id) => pieces[id],
  isSpecial: () => false,
  stream: () => {
    const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
    return { push: (id) => decoder.decode(pieces[id], { stream: true }), end: () => decoder.decode() };
  },
};
