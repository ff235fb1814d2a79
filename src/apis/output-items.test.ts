import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { answerOfDeltas, messageDeltas } from "../../test/support/answer-events.ts";
import { OutputItems } from "./output-items.ts";

describe("OutputItems", () => {
  it("opens, extends and closes one item after the other", () => {
    fc.assert(
      fc.property(messageDeltas, (deltas) => {
        const { answer, events } = answerOfDeltas(deltas);
        const items = new OutputItems();
        const texts: string[] = [];
        let open: number | undefined;
        for (const change of events.flatMap((event) => items.push(event))) {
          if (change.change === "open") {
            expect([open, change.index, change.item.text]).toEqual([undefined, texts.length, ""]);
            open = change.index;
            texts.push("");
          } else {
            expect(change.index).toBe(open);
            if (change.change === "delta") texts[change.index] += change.delta;
            expect(texts[change.index]).toBe(change.item.text);
            if (change.change === "close") open = undefined;
          }
        }
        expect(open).toBeUndefined();
        expect(items.items.map(({ text }) => text)).toEqual(texts);
        const textOf = (kind: string) => items.items.flatMap((one) => (one.kind === kind ? [one.text] : []));
        const [choice] = answer.choices;
        expect(textOf("text").join("")).toBe(choice?.text);
        expect(textOf("reasoning").join("")).toBe(choice?.reasoning ?? "");
        expect(textOf("tool-call")).toEqual(choice?.toolCalls.map((call) => call.arguments));
      }),
    );
  });

  it("counts tokens of reasoning", () => {
    const items = new OutputItems();
    const tokens = (n: number) => items.push({ choice: 0, kind: "tokens", tokens: Array(n).fill(0) });
    tokens(3);
    items.push({ choice: 0, kind: "reasoning", text: "a" });
    tokens(2);
    tokens(1);
    items.push({ choice: 0, kind: "reasoning", text: "b" });
    tokens(4);
    items.push({ choice: 0, kind: "text", text: "c" });
    tokens(5);
    items.push({ choice: 0, kind: "text", text: "d" });
    expect(items.nReasoningTokens).toBe(6);
  });

  it("keeps log-probabilities with the text that they complete", () => {
    const logprobs = [1, 2, 3].map((token) => ({ token, logprob: -1, top: [] }));
    const items = new OutputItems();
    items.push({ choice: 0, kind: "tokens", tokens: [1, 2], logprobs: logprobs.slice(0, 2) });
    const [, delta] = items.push({ choice: 0, kind: "text", text: "ab" });
    expect(delta).toMatchObject({ delta: "ab", logprobs: logprobs.slice(0, 2) });
    items.push({ choice: 0, kind: "tokens", tokens: [3], logprobs: logprobs.slice(2) });
    items.push({ choice: 0, kind: "text", text: "c" });
    expect(items.items).toEqual([{ kind: "text", text: "abc", logprobs }]);
  });
});
