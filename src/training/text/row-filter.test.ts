import { describe, expect, it } from "vitest";
import type { TextRow } from "./row.ts";
import { isRefusal, RowFilter } from "./row-filter.ts";

let nRows = 0;
const row = (answer: string, given: Partial<TextRow> = {}): TextRow => ({
  ...{ index: nRows, source: "model", split: "train", temperature: 0, seed: 0, finish: "end" },
  messages: [
    { role: "user", content: `Question ${nRows}` },
    { role: "assistant", content: answer },
  ],
  ...{ ids: [1, 2, nRows++], response_mask: [0, 1, 1] },
  ...given,
});

/** Reasons of rows in turn; undefined: kept. */
function decide(rows: readonly TextRow[]) {
  const filter = new RowFilter();
  return rows.map((one) => {
    const problem = filter.problemOf(one);
    if (problem === undefined) filter.add(one);
    return problem;
  });
}

const refusal = "I'm sorry for any confusion, but as a chatbot, I don't have the ability to see your cat.";

describe("RowFilter", () => {
  it("drops a row whose ids are those of an earlier one", () => {
    const one = row("A");
    expect(decide([one, row("B"), { ...one, index: 9, temperature: 1 }])).toEqual([undefined, undefined, "same-row"]);
  });

  it("keeps an answer three times, except for prompts of a file", () => {
    const answers = [
      "Hello! How can I help?",
      "hello, how can I help",
      "Hello! How can I help?",
      "Hello, how can I help?",
    ];
    expect(decide(answers.map((answer) => row(answer)))[3]).toBe("same-answer");
    expect(decide(answers.map((answer) => row(answer, { source: "file" })))[3]).toBeUndefined();
  });

  it("keeps refusals up to 4 %", () => {
    const rows = Array.from({ length: 1000 }, (_, i) => row(i % 4 === 0 ? `${refusal} ${i}` : `An answer ${i}`));
    const dropped = decide(rows);
    const kept = rows.filter((_, i) => dropped[i] === undefined);
    const nRefusals = kept.filter(isRefusal).length;
    expect(nRefusals / kept.length).toBeGreaterThan(0.03);
    expect(nRefusals / kept.length).toBeLessThanOrEqual(0.045);
    expect(dropped.every((reason, i) => reason === undefined || (reason === "refusal" && i % 4 === 0))).toBe(true);
  });
});

describe("isRefusal", () => {
  it.each([
    [refusal, true],
    ["I'm sorry for the misunderstanding, but I only write poems.", true],
    ["Unfortunately, I can't help you with that.", true],
    ["I'm sorry for your loss. My own cat died last year.", false],
    ["As an example, take the number 7.", false],
    ["A chatbot is a program. I'm sorry to say that it has no feelings.", false],
  ])("%j: %s", (answer, expected) => {
    expect(isRefusal(row(answer))).toBe(expected);
  });
});
