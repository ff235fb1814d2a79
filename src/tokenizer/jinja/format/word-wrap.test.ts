import { expect, it } from "vitest";
import { wrapText } from "./word-wrap.ts";

it("breaks a word of hundreds of thousands of lines", () => {
  const word = "x😀".repeat(150_000);
  const lines = wrapText(word, 1, true, true);
  expect(lines).toHaveLength(300_000);
  expect(lines.join("")).toBe(word);
});

it("breaks a long word after a hyphen", () => {
  expect(wrapText("a-1bcdefgh--i", 4, true, true)).toEqual(["a-", "1bcd", "efgh", "--i"]);
  expect(wrapText("a-1bcdefgh--i", 4, true, false)).toEqual(["a-1b", "cdef", "gh--", "i"]);
  expect(wrapText("ab cdefgh", 4, false, true)).toEqual(["ab", "cdefgh"]);
});
