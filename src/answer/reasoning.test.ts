import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fakeTokenizer } from "../../test/support/fake-tokenizer.ts";
import { messageOf } from "./message-reader.ts";
import { beginsInReasoning, ReasoningReader } from "./reasoning.ts";
import type { MessageDelta, MessageReader } from "./types.ts";

const plain: MessageReader = { push: (text) => (text === "" ? [] : [{ kind: "text", text }]), end: () => [] };

function read(parts: readonly string[], isOpen = false) {
  const reader = new ReasoningReader(plain, isOpen);
  const deltas: MessageDelta[] = parts.flatMap((part) => [...reader.push(part)]);
  const { text, reasoning } = messageOf([...deltas, ...reader.end()]);
  return reasoning === undefined ? { text } : { text, reasoning };
}

describe("ReasoningReader", () => {
  it.each([
    ["an answer", false, { text: "an answer" }],
    ["  an answer ", false, { text: "  an answer " }],
    [
      "<think>\nHm.\n\nYes\n</think>\n\nan <think> answer",
      false,
      { text: "an <think> answer", reasoning: "Hm.\n\nYes" },
    ],
    ["\n<think>a</think>b", false, { text: "b", reasoning: "a" }],
    ["<think>\n\n</think>\n\nb", false, { text: "b" }],
    ["<think>never </ thi", false, { text: "", reasoning: "never </ thi" }],
    ["<think", false, { text: "<think" }],
    ["\n <", false, { text: "\n <" }],
    ["<thinking>a", false, { text: "<thinking>a" }],
    ["a\n</think>\nb", true, { text: "b", reasoning: "a" }],
    ["a\n</thin", true, { text: "", reasoning: "a\n</thin" }],
    ["a</think>", false, { text: "a</think>" }],
    ["", true, { text: "" }],
  ])("reads %j (open: %j)", (text, isOpen, message) => {
    expect(read([text], isOpen)).toEqual(message);
  });

  it("reads the same message however the text is split", () => {
    const piece = fc.constantFrom("<think>", "</think>", "<", "/", "th", "ink>", " ", "\n", "a", "é");
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), fc.boolean(), (pieces, isOpen) => {
        const text = pieces.join("");
        expect(read(pieces, isOpen)).toEqual(read([text], isOpen));
        expect(read([...text], isOpen)).toEqual(read([text], isOpen));
      }),
      { numRuns: 2000 },
    );
  });

  it("gives text that is certain at once", () => {
    const reader = new ReasoningReader(plain, false);
    expect(reader.push("<think>Hm")).toEqual([{ kind: "reasoning", text: "Hm" }]);
    expect(reader.push(". <")).toEqual([{ kind: "reasoning", text: "." }]);
    expect(reader.push("b")).toEqual([{ kind: "reasoning", text: " <b" }]);
    expect(reader.push("</think>\n\nan")).toEqual([{ kind: "text", text: "an" }]);
    expect(reader.push("swer ")).toEqual([{ kind: "text", text: "swer " }]);
  });
});

describe("beginsInReasoning", () => {
  it("is told by the end of the prompt", () => {
    const tokenizer = {
      ...fakeTokenizer,
      decode: (ids: readonly number[]) => ids.map((id) => ["x", "<think>", "\n"][id]).join(""),
    };
    expect(beginsInReasoning(tokenizer, [0, 1, 2])).toBe(true);
    expect(beginsInReasoning(tokenizer, [1, 0])).toBe(false);
    expect(beginsInReasoning(undefined, [1])).toBe(false);
  });
});
