import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LookupProposer } from "./lookup-proposer.ts";

const chain = (proposer: LookupProposer, depth: number): number[] => {
  const path: number[] = [];
  while (path.length < depth) {
    const [token] = proposer.candidates(path).tokens;
    if (token === undefined) break;
    path.push(token);
  }
  return path;
};

const proposed = (tokens: readonly number[], depth: number) => {
  const proposer = new LookupProposer();
  proposer.observe(tokens);
  return chain(proposer, depth);
};

/** By looking at every earlier place: the longest match, the newest of several. */
function slowly(tokens: readonly number[], depth: number): number[] {
  const end = tokens.length - 1;
  let best = -1;
  let longest = 1;
  for (let at = end - 1; at >= 0; at--) {
    let length = 0;
    while (at - length >= 0 && tokens[at - length] === tokens[end - length]) length++;
    if (length > longest) [best, longest] = [at, length];
  }
  if (best < 0) return [];
  const all = [...tokens];
  for (let i = 1; i <= depth; i++) all.push(all[best + i] as number);
  return all.slice(tokens.length);
}

describe("LookupProposer", () => {
  it("finds the longest match, the newest of several", () => {
    // Short texts: no bound on candidates or length is met.
    fc.assert(
      fc.property(fc.array(fc.nat(3), { maxLength: 30 }), fc.nat(7), (tokens, depth) => {
        expect(proposed(tokens, depth)).toEqual(slowly(tokens, depth));
      }),
      { numRuns: 2000 },
    );
  });

  it("proposes nothing for a single token that matches", () => {
    expect(proposed([1, 2, 3, 2], 4)).toEqual([]);
    expect(proposed([5, 1, 2, 8, 9, 1, 2], 3)).toEqual([8, 9, 1]);
  });

  it("goes on with a period", () => {
    expect(proposed([7, 8, 7, 8, 7], 5)).toEqual([8, 7, 8, 7, 8]);
  });

  it("follows an old passage that it began to copy, past all newer candidates", () => {
    const passage = Array.from({ length: 200 }, (_, i) => (i % 2 === 0 ? 1 : 100 + i));
    // The pair (101, 1) comes again and again, with other continuations.
    const noise = Array.from({ length: 100 }, (_, i) => [101, 1, 500 + i]).flat();
    const proposer = new LookupProposer();
    proposer.observe([...passage, ...noise, 999]);
    proposer.observe(passage.slice(0, 60));
    expect(chain(proposer, 4)).toEqual(passage.slice(60, 64));
  });

  it("stays quick on long repetitive text", () => {
    const proposer = new LookupProposer();
    for (let i = 0; i < 100_000; i++) {
      proposer.observe([i % 3 === 0 ? 1 : 2]);
      if (i % 10 === 0) chain(proposer, 7);
    }
    expect(chain(proposer, 3)).toEqual([2, 2, 1]);
  });
});
