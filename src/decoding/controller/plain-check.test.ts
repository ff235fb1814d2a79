import { expect, it } from "vitest";
import { randomFrom } from "../../../test/support/replay/simulation.ts";
import { PlainCheck } from "./plain-check.ts";

/** Tokens per time over plain decoding, and the share of planned steps, where planned steps yield more and take longer. */
function run({ sequences = 1, chance, ms }: { sequences?: number; chance: number; ms: number }) {
  const check = new PlainCheck();
  const random = randomFrom(5);
  const nSteps = 6000;
  let tokens = 0;
  let time = 0;
  let nPlanned = 0;
  for (let i = 0; i < nSteps; i++) {
    const isPlanned = !check.isPlainDue(sequences);
    const accepted = isPlanned ? Array.from({ length: sequences }, () => random()).filter((u) => u < chance).length : 0;
    const rows = isPlanned ? 2 * sequences : sequences;
    const step = { tokenRows: rows, drawnRows: rows, maskRows: 0, contextRows: 0, draftedTokens: 0, sequences };
    const took = (isPlanned ? ms : 1) * (random() < 0.01 ? 10 : 0.95 + 0.1 * random());
    check.observe({ ...step, tokens: sequences + accepted, ms: took }, isPlanned);
    tokens += sequences + accepted;
    time += isPlanned ? ms : 1;
    nPlanned += isPlanned ? 1 : 0;
  }
  return { speed: tokens / sequences / time, planned: nPlanned / nSteps };
}

it("lets rounds be planned that gain, with few plain steps", () => {
  for (const sequences of [1, 4, 16]) {
    expect(run({ sequences, chance: 0.5, ms: 1.2 }).planned).toBeGreaterThan(0.95);
  }
});

it("loses little where planned rounds are slower", () => {
  for (const sequences of [1, 16]) {
    for (const [chance, ms] of [
      [0, 1.04],
      [0, 1.2],
      [0.3, 1.5],
      [0.2, 2],
    ] as const) {
      expect(run({ sequences, chance, ms }).speed).toBeGreaterThan(0.98);
    }
  }
});

it("measures plain decoding first, for each number of sequences", () => {
  const check = new PlainCheck();
  const step = { tokenRows: 1, drawnRows: 1, maskRows: 0, contextRows: 0, draftedTokens: 0, sequences: 1, tokens: 1 };
  expect(check.isPlainDue(1)).toBe(true);
  check.observe({ ...step, ms: 2 }, false);
  expect(check.isPlainDue(1)).toBe(false);
  expect(check.isPlainDue(2)).toBe(true);
});
