import fc from "fast-check";
import { expect, it } from "vitest";
import { TokenSpans } from "./token-spans.ts";

const tokens = (...texts: string[]) => texts.map((text, id) => ({ id, text, source: "drawn", depth: 0 }));

/** Each span's text and token. */
function assign(text: string, texts: readonly string[]): (readonly [string, number])[] {
  const spans = new TokenSpans();
  spans.add(tokens(...texts));
  spans.finish(text);
  return spans.spans.map(({ start, end, token }) => [text.slice(start, end), token]);
}

it("assigns the text to tokens", () => {
  expect(assign("A forest is", ["A", " forest", " is"])).toEqual([
    ["A", 0],
    [" forest", 1],
    [" is", 2],
  ]);
});

it("gives a character of several tokens to the first of them", () => {
  expect(assign("a🌲 tree", ["a", "\uFFFD", "\uFFFD", " tree"])).toEqual([
    ["a", 0],
    ["🌲", 1],
    [" tree", 3],
  ]);
  expect(assign("a🌲", ["a", "\uFFFD\uFFFD"])).toEqual([
    ["a", 0],
    ["🌲", 1],
  ]);
});

it("skips tokens that the text lacks", () => {
  expect(assign("so yes", ["<think>", "so", "</think>", " yes", "<|im_end|>"])).toEqual([
    ["so", 1],
    [" yes", 3],
  ]);
});

it("assigns the same spans however the text grows, all of it and in order", () => {
  const texts = fc.array(fc.stringMatching(/^[ab ]{1,4}$/), { minLength: 1, maxLength: 20 });
  fc.assert(
    fc.property(texts, fc.array(fc.nat()), (parts, cuts) => {
      const text = parts.join("");
      const spans = new TokenSpans();
      spans.add(tokens(...parts));
      for (const cut of cuts.map((n) => n % (text.length + 1)).sort((a, b) => a - b)) spans.extend(text.slice(0, cut));
      spans.finish(text);
      expect(spans.spans.map(({ start, end }) => text.slice(start, end))).toEqual(parts);
      expect(spans.spans.map(({ token }) => token)).toEqual(parts.map((_, i) => i));
    }),
  );
});
