import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { NearDuplicates, wordsOf } from "./near-duplicates.ts";

describe("NearDuplicates", () => {
  it("takes a text once, whatever its case, spaces and punctuation", () => {
    const text = fc.array(fc.stringMatching(/^[a-z]{1,8}$/), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(fc.array(text, { minLength: 1, maxLength: 20 }), (texts) => {
        const known = new NearDuplicates();
        for (const words of texts) known.add(words.join(" "));
        for (const words of texts) expect(known.add(`${words.join(",  ").toUpperCase()}!`)).toBe(false);
      }),
    );
  });

  it.each([
    ["How do I bake bread at home without an oven?", "How do I bake bread at home without an oven, please?", false],
    ["Can you help me plan a birthday party for my son?", "Can you help me plan a wedding in the mountains?", true],
    ["What is a forest?", "What is a desert?", true],
    ["Hello", "hello!!", false],
    ["Was ist ein Wald?", "Что такое лес?", true],
  ])("%j, then %j: %s", (first, second, isNew) => {
    const known = new NearDuplicates();
    expect(known.add(first)).toBe(true);
    expect(known.add(second)).toBe(isNew);
  });

  it("limits texts of one beginning", () => {
    const known = new NearDuplicates(2);
    const texts = ["a dog", "the weather in June", "old friends of mine", "my new job"];
    expect(texts.map((text) => known.add(`Can you tell me about ${text}`))).toEqual([true, true, false, false]);
    expect(known.add("What can you tell me about it all")).toBe(true);
  });
});

describe("wordsOf", () => {
  it("keeps apostrophes within words", () => {
    expect(wordsOf("I don't know: 3 cats'")).toEqual(["i", "don't", "know", "3", "cats"]);
  });
});
