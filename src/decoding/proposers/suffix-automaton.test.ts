import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { NONE, ROOT, SuffixAutomaton } from "./suffix-automaton.ts";

function automatonOf(tokens: readonly number[]): SuffixAutomaton {
  const automaton = new SuffixAutomaton();
  for (const token of tokens) automaton.append(token);
  return automaton;
}

/** The state of a string; NONE: not a substring. */
function stateOf(automaton: SuffixAutomaton, string: readonly number[]): number {
  let state: number = ROOT;
  for (const token of string) {
    const edge = automaton.edge(state, token);
    if (edge === NONE) return NONE;
    state = automaton.target(edge);
  }
  return state;
}

/** Numbers of tokens after which a string ends. */
function endsOf(tokens: readonly number[], string: readonly number[]): number[] {
  const ends: number[] = [];
  for (let end = string.length; end <= tokens.length; end++) {
    if (string.every((token, i) => token === tokens[end - string.length + i])) ends.push(end);
  }
  return ends;
}

// Few distinct tokens, so that they repeat, with spread-out ids for the hash table.
const texts = fc.array(
  fc.nat(2).map((token) => token * 49_151),
  { maxLength: 40 },
);

describe("SuffixAutomaton", () => {
  it("knows whether, how often and where last each string occurs", () => {
    fc.assert(
      fc.property(texts, fc.array(fc.nat(3).map((token) => token * 49_151)), (tokens, other) => {
        const automaton = automatonOf(tokens);
        const substrings = tokens.flatMap((_, i) => tokens.slice(i).map((_, n) => tokens.slice(i, i + n + 1)));
        for (const string of [...substrings, other.slice(0, 5)]) {
          const ends = endsOf(tokens, string);
          const state = stateOf(automaton, string);
          if (ends.length === 0) expect(state).toBe(NONE);
          else if (string.length > 0) {
            expect(automaton.count(state)).toBe(ends.length);
            expect(automaton.newest(state)).toBe(ends.at(-1));
            expect(automaton.longest(state)).toBeGreaterThanOrEqual(string.length);
          }
        }
      }),
      { numRuns: 500 },
    );
  });

  it("links a state to that of its longest suffix that ends at more positions", () => {
    fc.assert(
      fc.property(texts, (tokens) => {
        const automaton = automatonOf(tokens);
        for (let end = 1; end <= tokens.length; end++) {
          const state = stateOf(automaton, tokens.slice(0, end));
          const string = tokens.slice(0, automaton.longest(state));
          const count = endsOf(tokens, string).length;
          let suffix = string;
          while (suffix.length > 0 && endsOf(tokens, suffix).length === count) suffix = suffix.slice(1);
          const link = automaton.link(state);
          expect(link).toBe(stateOf(automaton, suffix));
          expect(automaton.longest(link)).toBe(suffix.length);
        }
      }),
      { numRuns: 300 },
    );
  });

  it("lists every edge of a state once", () => {
    fc.assert(
      fc.property(texts, (tokens) => {
        const automaton = automatonOf(tokens);
        const listed: number[] = [];
        for (let edge = automaton.firstEdge(ROOT); edge !== NONE; edge = automaton.nextEdge(edge)) {
          listed.push(automaton.token(edge));
          expect(automaton.edge(ROOT, automaton.token(edge))).toBe(edge);
        }
        expect(listed.sort((a, b) => a - b)).toEqual([...new Set(tokens)].sort((a, b) => a - b));
      }),
    );
  });
});
