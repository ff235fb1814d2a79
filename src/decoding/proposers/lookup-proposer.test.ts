import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LookupProposer } from "./lookup-proposer.ts";

function proposerOf(tokens: readonly number[], minConfidence = 0): LookupProposer {
  const proposer = new LookupProposer({ minConfidence });
  proposer.observe(tokens);
  return proposer;
}

const chain = (proposer: LookupProposer, depth: number): number[] => {
  const path: number[] = [];
  while (path.length < depth) {
    const [token] = proposer.candidates(path, 1).tokens;
    if (token === undefined) break;
    path.push(token);
  }
  return path;
};

/** By brute force: the continuations of each suffix of text and path, the longest suffix first. */
function slowly(text: readonly number[], path: readonly number[]) {
  const all = [...text, ...path];
  const contexts: { token: number; times: number; newest: number }[][] = [];
  const seen = new Set<number>();
  for (let length = all.length; length > 0; length--) {
    const end = all.slice(all.length - length);
    const followers = new Map<number, { token: number; times: number; newest: number }>();
    for (let at = length; at < text.length; at++) {
      if (end.some((token, i) => token !== text[at - length + i])) continue;
      const token = text[at] as number;
      const { times } = followers.get(token) ?? { times: 0 };
      followers.set(token, { token, times: times + 1, newest: at });
    }
    const fresh = [...followers.values()].filter(({ token }) => !seen.has(token));
    for (const { token } of fresh) seen.add(token);
    if (fresh.length > 0) contexts.push(fresh.sort((a, b) => b.times - a.times || b.newest - a.newest));
  }
  return contexts;
}

const texts = fc.array(fc.nat(3), { maxLength: 30 });

describe("LookupProposer", () => {
  it("proposes continuations of the longest suffix, by frequency, the newest first among equals", () => {
    fc.assert(
      fc.property(texts, fc.array(fc.nat(3), { maxLength: 6 }), (text, path) => {
        const [longest = []] = slowly(text, path);
        const { tokens } = proposerOf(text).candidates(path, 1);
        expect([...tokens]).toEqual(longest.slice(0, 1).map(({ token }) => token));
      }),
      { numRuns: 2000 },
    );
  });

  it("sorts alternatives by confidence, with a sum of at most 1", () => {
    fc.assert(
      fc.property(texts, fc.array(fc.nat(3), { maxLength: 6 }), fc.integer({ min: 1, max: 5 }), (text, path, count) => {
        const { tokens, confidences } = proposerOf(text).candidates(path, count);
        const known = slowly(text, path).flat();
        expect(tokens.length).toBe(Math.min(count, known.length));
        expect(new Set(tokens).size).toBe(tokens.length);
        for (const token of tokens) expect(known.some((other) => other.token === token)).toBe(true);
        expect([...confidences]).toEqual([...confidences].sort((a, b) => b - a));
        expect(confidences.every((confidence) => confidence > 0)).toBe(true);
        expect(confidences.reduce((sum, confidence) => sum + confidence, 0)).toBeLessThanOrEqual(1 + 1e-6);
      }),
      { numRuns: 1000 },
    );
  });

  it("has a higher confidence in frequent continuations and longer suffixes", () => {
    const confidence = (text: readonly number[]) => proposerOf(text).candidates([], 1).confidences[0] ?? 0;
    const once = confidence([1, 2, 9, 1, 2]);
    expect(Math.abs(once - 0.5)).toBeLessThan(0.05);
    expect(confidence([1, 2, 9, 1, 2, 9, 1, 2])).toBeGreaterThan(once);
    expect(confidence([5, 1, 2, 9, 5, 1, 2])).toBeGreaterThan(once);
    expect(confidence([1, 2, 9, 1, 2, 8, 1, 2])).toBeLessThan(once);
  });

  it("requires more than one occurrence of a single token by default", () => {
    const proposed = (tokens: readonly number[], depth: number) => {
      const proposer = new LookupProposer();
      proposer.observe(tokens);
      return chain(proposer, depth);
    };
    expect(proposed([1, 2, 3, 2], 4)).toEqual([]);
    expect(proposed([5, 1, 2, 8, 9, 1, 2], 3)).toEqual([8, 9, 1]);
  });

  it("continues a periodic text", () => {
    expect(chain(proposerOf([7, 8, 7, 8, 7]), 5)).toEqual([8, 7, 8, 7, 8]);
  });

  it("continues to copy an old passage despite newer ones", () => {
    const passage = Array.from({ length: 200 }, (_, i) => (i % 2 === 0 ? 1 : 100 + i));
    // The pair (101, 1) recurs with different continuations.
    const noise = Array.from({ length: 100 }, (_, i) => [101, 1, 500 + i]).flat();
    const proposer = proposerOf([...passage, ...noise, 999]);
    proposer.observe(passage.slice(0, 60));
    expect(chain(proposer, 4)).toEqual(passage.slice(60, 64));
  });

  it("drops the older half of a text beyond its limit, and continues", () => {
    const nTokens = 70_000;
    const text = Array.from({ length: nTokens }, (_, i) => i);
    const proposer = proposerOf(text);
    const follows = (at: number) => [...proposer.candidates([at, at + 1], 1).tokens];
    expect(follows(1000)).toEqual([]);
    expect(follows(nTokens - 1000)).toEqual([nTokens - 998]);
  });

  it.each([
    ["of one token", (_: number) => 1],
    ["of a short period", (i: number) => (i % 3 === 0 ? 1 : 2)],
    ["of growing runs", (i: number) => (Number.isInteger(Math.sqrt(i)) ? 1 : 2)],
  ])("stays quick on long text %s", (_, tokenAt) => {
    const proposer = new LookupProposer();
    for (let i = 0; i < 100_000; i++) {
      proposer.observe([tokenAt(i)]);
      if (i % 10 === 0) chain(proposer, 7);
      // A token that never occurred: no context is left.
      if (i % 10 === 5) expect(proposer.candidates([77], 4).tokens.length).toBe(0);
    }
    expect(chain(proposer, 3)).toEqual([100_000, 100_001, 100_002].map(tokenAt));
  });
});
