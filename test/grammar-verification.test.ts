import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { LoadedModel } from "../src/compute/loaded-model.ts";
import { createNativeBackend } from "../src/compute/native/index.ts";
import { neutralSettings } from "../src/compute/sampling/settings.ts";
import { FixedPlanner, type Planner } from "../src/decoding/planners/planner.ts";
import { StaticTreePlanner } from "../src/decoding/planners/static-tree-planner.ts";
import { GrammarProposer } from "../src/decoding/proposers/grammar-proposer.ts";
import { LookupProposer } from "../src/decoding/proposers/lookup-proposer.ts";
import { PredictedProposer } from "../src/decoding/proposers/predicted-proposer.ts";
import { MaskProposer } from "../src/decoding/proposers/proposer.ts";
import type { Verification } from "../src/decoding/round/round.ts";
import { SequenceGrammar } from "../src/decoding/round/sequence-grammar.ts";
import { readAdapter } from "../src/formats/adapter/adapter.ts";
import type { GrammarRequest } from "../src/grammar/grammar.ts";
import { Grammars } from "../src/grammar/grammars.ts";
import { fixtures, loadFixture } from "./support/backend-contract.ts";
import { type Completion, generateCompletions, RandomPlanner } from "./support/generate-completions.ts";
import { accepts, END, vocabularyOf, walkTokens } from "./support/grammar-walk.ts";

const VOCABULARY = 320;
const grammars = new Grammars(vocabularyOf(VOCABULARY));

const requests: readonly GrammarRequest[] = [
  { kind: "json" },
  { kind: "regex", pattern: "(ab|ba){2,9}" },
  { kind: "regex", pattern: '[a-f"{}:, ]{0,6}\\u{1f600}?' },
  { kind: "choice", choices: ["true", "trunk", "null"] },
  { kind: "ebnf", grammar: 'root ::= item ("," " " item)*\nitem ::= [0-9]+ | "null" | "[" root "]"' },
  {
    kind: "schema",
    schema: {
      type: "object",
      properties: {
        a: { type: "integer", minimum: -5 },
        ab: { type: "string", maxLength: 4 },
        c: { enum: ["true", "null"] },
      },
      required: ["a", "c"],
    },
  },
];

interface Setup {
  readonly grammar: GrammarRequest;
  readonly prompt: number[];
  readonly maxTokens: number;
  readonly temperature: number;
  readonly repetitionPenalty: number;
  readonly seed: number;
}
const anySetup: fc.Arbitrary<Setup> = fc.record({
  grammar: fc.constantFrom(...requests),
  prompt: fc.array(fc.nat(VOCABULARY - 1), { minLength: 1, maxLength: 12 }),
  maxTokens: fc.integer({ min: 1, max: 30 }),
  temperature: fc.constantFrom(0, 0.7, 1.5),
  repetitionPenalty: fc.constantFrom(1, 1, 1.3),
  seed: fc.maxSafeNat(),
});

const kinds = ["grammar", "mask", "lookup", "predicted"] as const;
const anyShape = fc.record({
  planner: fc.constantFrom("chain", "quadratic", "tree", "random"),
  stride: fc.integer({ min: 2, max: 6 }),
  seed: fc.nat(),
  sources: fc.subarray([...kinds], { minLength: 1 }),
  batch: fc.integer({ min: 1, max: 4 }),
});
type AnyShape = typeof anyShape extends fc.Arbitrary<infer T> ? T : never;

/** Splits a text into single bytes, but the longest token where there is one. */
function encode(text: string): number[] {
  const bytes = [...new TextEncoder().encode(text)];
  const ids: number[] = [];
  for (let at = 0; at < bytes.length; ) {
    const fits = (token: Uint8Array) => token.every((byte, i) => bytes[at + i] === byte);
    const found = walkTokens.findLastIndex((token) => fits(token));
    ids.push(found);
    at += (walkTokens[found] as Uint8Array).length;
  }
  return ids;
}

function plannerOf({ planner, stride, seed }: AnyShape): Planner {
  if (planner === "chain" || planner === "quadratic") return new FixedPlanner(planner, stride);
  if (planner === "tree") return new StaticTreePlanner({ stride, maxProposals: 8, maxMaskRows: 12 });
  return new RandomPlanner(seed, { depth: stride - 1 });
}

function generate(
  model: LoadedModel,
  setups: readonly Setup[],
  shape: AnyShape | undefined,
  predicted: readonly (readonly number[])[],
  verification: Verification,
): Promise<Completion[]> {
  const all = setups.map(({ grammar: request, temperature, repetitionPenalty, seed, ...setup }, i) => {
    const grammar = new SequenceGrammar(grammars.compile(request).start);
    const make = {
      grammar: () => new GrammarProposer({ grammar, encode }),
      mask: () => new MaskProposer(),
      lookup: () => new LookupProposer({ minConfidence: 0 }),
      predicted: () => new PredictedProposer(predicted[i] ?? []),
    };
    const planner = shape === undefined ? new FixedPlanner("chain", 1) : plannerOf({ ...shape, seed: shape.seed + i });
    const proposers = (shape?.sources ?? []).map((source) => make[source]());
    const settings = { ...neutralSettings, temperature, repetitionPenalty, seed };
    return { ...setup, grammar, planner, proposers, settings, verification, maxRun: 3, endTokens: new Set([END]) };
  });
  return generateCompletions(model, all, { batch: shape?.batch ?? 1 });
}

function textOf(tokens: readonly number[]): string {
  return Buffer.concat(tokens.map((token) => walkTokens[token] as Uint8Array)).toString("utf8");
}

async function loaded(name: string): Promise<LoadedModel> {
  const adapter = readAdapter(join(fixtures, "idlm", name));
  return loadFixture(createNativeBackend({ threads: 1 }), "models/llama-tiny", "huggingface", { adapter });
}

describe("a grammar", { timeout: 600_000 }, () => {
  it("limits the output, which exact verification leaves as plain decoding writes it", async () => {
    const model = await loaded("llama-tiny-entry0");
    const counts = { accepted: 0, complete: 0, forwards: 0, tokens: 0 };
    await fc.assert(
      fc.asyncProperty(fc.array(anySetup, { minLength: 1, maxLength: 4 }), anyShape, async (setups, shape) => {
        const expected = await generate(model, setups, undefined, [], { mode: "exact" });
        for (const [i, { tokens }] of expected.entries()) {
          const { grammar, maxTokens } = setups[i] as Setup;
          if (tokens.length === maxTokens) continue;
          expect(accepts(grammars.compile(grammar).start, textOf(tokens))).toBe(true);
          counts.complete++;
        }
        const predicted = expected.map(({ tokens }, i) => tokens.map((token, at) => (at % 9 === i ? 97 : token)));
        const found = await generate(model, setups, shape, predicted, { mode: "exact" });
        expect(found.map(({ tokens }) => tokens)).toEqual(expected.map(({ tokens }) => tokens));
        counts.accepted += found.reduce((sum, { accepted }) => sum + accepted, 0);
      }),
      { numRuns: 80 },
    );
    expect(counts.accepted).toBeGreaterThan(100);
    expect(counts.complete).toBeGreaterThan(30);
    model.dispose();
  });

  it("limits the output with rejection and relaxed verification; at temperature 0 it is plain decoding's", async () => {
    const model = await loaded("llama-tiny-entry1");
    await fc.assert(
      fc.asyncProperty(
        ...[fc.array(anySetup, { minLength: 1, maxLength: 3 }), anyShape, fc.constantFrom(1, 0.5)],
        async (setups, shape, tau) => {
          const verification: Verification = tau === 1 ? { mode: "rejection" } : { mode: "relaxed", tau };
          const expected = await generate(model, setups, undefined, [], { mode: "exact" });
          const predicted = expected.map(({ tokens }) => tokens);
          const found = await generate(model, setups, shape, predicted, verification);
          for (const [i, { tokens }] of found.entries()) {
            const { grammar, temperature, maxTokens } = setups[i] as Setup;
            if (temperature === 0) expect(tokens).toEqual(expected[i]?.tokens);
            let state = grammars.compile(grammar).start;
            for (const token of tokens) {
              const next = state.after(token);
              if (next === undefined) throw new Error(`token ${token} is not allowed`);
              state = next;
            }
            if (tokens.length < maxTokens) expect(state.after(END)).toBeDefined();
          }
        },
      ),
      { numRuns: 40 },
    );
    model.dispose();
  });

  it("proposes the text that it forces", async () => {
    const model = await loaded("llama-tiny-entry0");
    const request: GrammarRequest = { kind: "choice", choices: ["a long text without any choice"] };
    const setup = { grammar: request, prompt: [5], maxTokens: 100, temperature: 0, repetitionPenalty: 1, seed: 0 };
    const shape = { planner: "chain", stride: 6, seed: 0, sources: ["grammar"], batch: 1 } as const;
    const [plain] = await generate(model, [setup], undefined, [], { mode: "exact" });
    const [found] = await generate(model, [setup], { ...shape, sources: ["grammar"] }, [], { mode: "exact" });
    expect(found?.tokens).toEqual(plain?.tokens);
    expect(textOf(found?.tokens ?? [])).toBe("a long text without any choice");
    expect(found?.forwards).toBeLessThanOrEqual((plain?.forwards ?? 0) / 2);
    model.dispose();
  });
});
