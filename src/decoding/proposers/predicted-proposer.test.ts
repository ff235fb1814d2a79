import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { PredictedProposer } from "./predicted-proposer.ts";

function proposerOf(prediction: readonly number[], written: readonly number[] = []): PredictedProposer {
  const proposer = new PredictedProposer(prediction);
  proposer.observe([7, 7, 7]);
  proposer.observe(written);
  return proposer;
}

const best = (proposer: PredictedProposer, path: readonly number[] = []) => proposer.candidates(path, 1).tokens[0];

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);

describe("PredictedProposer", () => {
  it("proposes the prediction while the text follows it, at any depth", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(5), { maxLength: 40 }), fc.nat(40), fc.nat(8), (prediction, nWritten, depth) => {
        const proposer = proposerOf(prediction, prediction.slice(0, nWritten));
        const at = Math.min(prediction.length, nWritten);
        const path = prediction.slice(at, at + depth);
        expect(best(proposer, path)).toBe(prediction[at + path.length]);
      }),
    );
  });

  it("proposes the same after a path as after the same output", () => {
    const tokens = fc.array(fc.nat(4), { maxLength: 50 });
    fc.assert(
      fc.property(tokens, tokens, fc.array(fc.nat(4), { maxLength: 8 }), (prediction, written, path) => {
        const { tokens, confidences } = proposerOf(prediction, written).candidates(path, 4);
        const later = proposerOf(prediction, [...written, ...path]).candidates([], 4);
        expect([...tokens]).toEqual([...later.tokens]);
        expect([...confidences]).toEqual([...later.confidences]);
        expect(new Set(tokens).size).toBe(tokens.length);
        expect([...confidences]).toEqual([...confidences].sort((a, b) => b - a));
      }),
      { numRuns: 500 },
    );
  });

  it("realigns after insertions, replacements and deletions", () => {
    const edits = fc.array(fc.record({ kept: fc.integer({ min: 2, max: 9 }), left: fc.nat(8), put: fc.nat(5) }));
    fc.assert(
      fc.property(edits, (script) => {
        // All tokens of the prediction differ, so positions in it are unambiguous.
        const prediction = range(0, 300);
        const written: number[] = [];
        let at = 0;
        let foreign = 1000;
        const proposer = proposerOf(prediction);
        const write = (token: number) => {
          written.push(token);
          proposer.observe([token]);
        };
        for (const { kept, left, put } of script) {
          for (let i = 0; i < put; i++) write(foreign++);
          at += left;
          for (let i = 0; i < kept; i++, at++) {
            if (i > 0) expect(best(proposer)).toBe(prediction[at]);
            write(prediction[at] as number);
          }
        }
        expect(best(proposer)).toBe(prediction[at]);
      }),
    );
  });

  it("realigns at any position after two matching tokens", () => {
    expect(best(proposerOf(range(0, 300), [0, 1, 2, 900, 200]))).toBe(undefined);
    expect(best(proposerOf(range(0, 300), [0, 1, 2, 900, 200, 201]))).toBe(202);
    expect(best(proposerOf(range(0, 300), [...range(200, 210), 901, 50, 51]))).toBe(52);
  });

  it("chooses the longest match, the nearest one among equals", () => {
    //                  0  1  2  3  4  5  6  7  8  9 10 11 12 13
    const prediction = [1, 2, 3, 4, 8, 9, 5, 8, 9, 6, 1, 8, 9, 7];
    expect(best(proposerOf(prediction, [1, 2, 3, 99, 8, 9]))).toBe(5);
    expect(best(proposerOf(prediction, [1, 2, 3, 4, 8, 9, 5, 99, 1, 8, 9]))).toBe(7);
    const alternatives = proposerOf(prediction, [1, 2, 3, 99, 8, 9]).candidates([], 3).tokens;
    expect([...alternatives]).toEqual([5, 6, 7]);
  });

  it("ignores the prompt", () => {
    const proposer = new PredictedProposer([1, 2, 3]);
    proposer.observe([1, 2]);
    expect(best(proposer)).toBe(1);
    proposer.observe([1]);
    expect(best(proposer)).toBe(2);
  });

  it("proposes nothing after its end or without a prediction", () => {
    expect(best(proposerOf([1, 2], [1, 2]))).toBe(undefined);
    expect(best(proposerOf([]))).toBe(undefined);
    expect(best(proposerOf([], [1, 2, 3]))).toBe(undefined);
  });

  it.each([
    ["the same text", (i: number) => i % 2],
    ["text that never comes back", (i: number) => 5 + i],
    ["text of one token", () => 1],
  ])("stays quick where a long repetitive prediction meets %s", (_, tokenAt) => {
    const proposer = proposerOf(Array.from({ length: 50_000 }, (_, i) => i % 2));
    for (let i = 0; i < 50_000; i++) {
      proposer.observe([tokenAt(i)]);
      if (i % 10 === 0) proposer.candidates([0, 1, 0, 9, 1, 0], 4);
    }
    expect(proposer.candidates([0, 1], 1).tokens.length).toBeLessThanOrEqual(1);
  });
});
