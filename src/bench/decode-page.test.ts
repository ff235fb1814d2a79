import { parseHTML } from "linkedom";
import { describe, expect, it } from "vitest";
import { type DecodeReport, decodePage, type TimedFigures } from "./decode-page.ts";
import type { Kind } from "./prompts.ts";

const figure = (kind: Kind, changes: Partial<TimedFigures>): TimedFigures => ({
  ...{ kind, batch: 1, drafter: "none", shape: undefined, stride: undefined },
  ...{ speedUp: { median: 1, low: 0.99, high: 1.01 }, tokensPerSecond: 180, tokensPerForward: 1, overhead: 1 },
  ...{
    tokenRows: 1,
    maskRows: 0,
    acceptanceByDepth: [],
    rounds: [],
    repeatedShare: 0.25,
    isSameText: true,
    ...changes,
  },
});

const report: DecodeReport = {
  ...{ date: "2026-11-29", cpu: "EPYC <7>", instructionSet: "avx2", threads: 2, numerics: 9, model: "a & b" },
  ...{ pairs: 9, maxTokens: 96, cutRepeats: true },
  figures: [
    figure("chat", {}),
    figure("chat", {
      ...{ drafter: "mask", shape: "chain", stride: 3, speedUp: { median: 1.25, low: 1.2, high: 1.3 } },
      ...{ tokensPerForward: 1.5, overhead: 1.2, acceptanceByDepth: [0.6, 0.5], rowsAlone: 1.15 },
    }),
    figure("chat", { batch: 4, drafter: "lookup", speedUp: { median: 0.8, low: 0.7, high: 0.9 }, isSameText: false }),
  ],
};

describe("decodePage", () => {
  const page = decodePage(report);
  const { document } = parseHTML(page);

  it("has a picture and a table for each batch size and kind", () => {
    expect([...document.querySelectorAll("h2")].map((heading) => heading.textContent)).toEqual([
      "chat, one sequence",
      "chat, 4 sequences",
    ]);
    expect(document.body.textContent).toContain("25 % of plain decoding's tokens lie in repeats.");
    expect(document.querySelectorAll("svg circle").length).toBe(3);
    const cells = [...(document.querySelectorAll("tbody tr")[1]?.children ?? [])].map((cell) => cell.textContent);
    expect(cells).toEqual([
      "mask chain 3",
      "1.25 ×",
      "1.20–1.30",
      "180",
      "1.50",
      "1.20",
      "1.15",
      "1.0 + 0.0",
      "0.60 0.50",
      "same",
    ]);
    expect(document.querySelectorAll("tbody")[1]?.textContent).toContain("other bytes");
  });

  it("places medians on the axis of the ticks, and colours what is faster or slower", () => {
    const at = (element: { getAttribute(name: string): string | null } | undefined, name: string) =>
      Number(element?.getAttribute(name));
    const [plain, mask, lookup] = [...document.querySelectorAll("circle")];
    const one = document.querySelector("line.one") ?? undefined;
    expect(at(plain, "cx")).toBe(at(one, "x1"));
    expect(at(mask, "cx")).toBeGreaterThan(at(plain, "cx"));
    expect([plain, mask, lookup].map((dot) => dot?.getAttribute("class"))).toEqual(["open", "faster", "slower"]);
  });

  it("shows names as they are, and loads nothing", () => {
    expect(document.querySelector("h1")?.textContent).toBe("Decoding of a & b");
    expect(document.body.textContent).toContain("EPYC <7>, avx2");
    expect(page).not.toMatch(/<script|src=|href=/);
  });
});
