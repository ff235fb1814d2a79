import fc from "fast-check";
import { expect, it } from "vitest";
import { Automaton } from "../src/grammar/automaton/automaton.ts";
import { compile } from "../src/grammar/automaton/program.ts";
import { charactersOf } from "../src/grammar/characters.ts";
import type { Expression, Grammar } from "../src/grammar/expression.ts";
import { TokenGrammar } from "../src/grammar/grammar-state.ts";
import { textsOf, treeOf, Vocabulary } from "../src/grammar/vocabulary.ts";
import { allowedTokens, END, walkVocabulary } from "./support/grammar-walk.ts";
import { xgrammarCompiler } from "./support/xgrammar.ts";

const text = fc
  .constantFrom("a", "ab", "{", '"', "é", "😀", "\n", ": ")
  .map((own): Expression => ({ kind: "text", text: own }));
/** ASCII: xgrammar 0.1.27 takes other ranges for ranges of bytes. */
const range = fc.constantFrom<[number, number]>([97, 99], [48, 57], [0x20, 0x7e], [98, 98], [10, 10]);
const set = fc
  .array(range, { minLength: 1, maxLength: 3 })
  .map((ranges): Expression => ({ kind: "characters", set: charactersOf(ranges) }));

const { expression } = fc.letrec<{ expression: Expression }>((tie) => ({
  expression: fc.oneof(
    { maxDepth: 4, depthSize: "small" },
    text,
    set,
    fc.array(tie("expression"), { maxLength: 3 }).map((parts): Expression => ({ kind: "sequence", parts })),
    fc.array(tie("expression"), { minLength: 1, maxLength: 3 }).map((parts): Expression => ({ kind: "choice", parts })),
    fc.tuple(tie("expression"), fc.nat(3), fc.option(fc.nat(3), { nil: undefined })).map(
      ([part, min, more]): Expression => ({
        kind: "repeat",
        part,
        min,
        max: more === undefined ? undefined : min + more,
      }),
    ),
    fc.constantFrom("first", "second").map((name): Expression => ({ kind: "rule", name })),
  ),
}));
const anyGrammar = fc.record({ root: expression, first: expression, second: expression }).map(
  ({ root, first, second }): Grammar => ({
    root,
    rules: new Map([
      ["first", first],
      ["second", second],
    ]),
  }),
);

it("allows the tokens that xgrammar allows", async () => {
  const oracle = await xgrammarCompiler(walkVocabulary);
  const texts = textsOf(walkVocabulary);
  const vocabulary = new Vocabulary(walkVocabulary, texts, treeOf(texts));
  let compared = 0;
  await fc.assert(
    fc.asyncProperty(anyGrammar, fc.array(fc.nat(), { minLength: 12, maxLength: 12 }), async (grammar, steps) => {
      let own: TokenGrammar;
      try {
        own = new TokenGrammar(new Automaton(compile(grammar, "grammar"), "grammar"), vocabulary);
      } catch {
        return;
      }
      const matcher = await oracle(grammar);
      let state = own.start;
      for (const step of steps) {
        const mask = new Uint32Array(await matcher.getNextTokenBitmask());
        const allowed = allowedTokens(state);
        expect(allowed).toEqual(allowedTokens({ ...state, allowed: mask }));
        compared++;
        const token = allowed[step % allowed.length];
        if (token === undefined || token === END) break;
        expect(matcher.acceptToken(token)).toBe(true);
        const next = state.after(token);
        if (next === undefined) throw new Error("an allowed token is refused");
        state = next;
      }
      matcher.dispose();
    }),
    { numRuns: 300 },
  );
  expect(compared).toBeGreaterThan(500);
});
