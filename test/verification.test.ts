import { existsSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { LoadedModel } from "../src/compute/loaded-model.ts";
import { createNativeBackend, supportedInstructionSets } from "../src/compute/native/index.ts";
import { createReferenceBackend } from "../src/compute/reference/index.ts";
import {
  mapSettings,
  neutralSettings,
  type SamplerSettings,
  type SamplingSettingName,
} from "../src/compute/sampling/settings.ts";
import { Controller } from "../src/decoding/controller/controller.ts";
import { FixedPlanner, type Planner } from "../src/decoding/planners/planner.ts";
import { shapeNames, shapes } from "../src/decoding/planners/shapes.ts";
import { LookupProposer } from "../src/decoding/proposers/lookup-proposer.ts";
import type { Proposer } from "../src/decoding/proposers/proposer.ts";
import { isAvailable, type ProposerKind, proposerKinds, proposers } from "../src/decoding/proposers/registry.ts";
import type { Verification } from "../src/decoding/round/round.ts";
import { readAdapter } from "../src/formats/adapter/adapter.ts";
import { fixtures, loadFixture } from "./support/backend-contract.ts";
import {
  type Completion,
  type GenerateOptions,
  generateCompletions,
  RandomPlanner,
  type SequenceSetup,
} from "./support/generate-completions.ts";
import { quantised } from "./support/quantised-program.ts";

const VOCABULARY = 320;
const id = fc.nat(VOCABULARY - 1);

/** Usual values; of other settings half their largest one. */
const usual: Partial<Record<SamplingSettingName, readonly number[]>> = {
  temperature: [0, 0.5, 0.7, 1, 1.5],
  topK: [0, 0, 20],
  topP: [1, 1, 0.9],
  minP: [0, 0, 0.02],
  repetitionPenalty: [1, 1.2],
  presencePenalty: [0, 0.5],
  frequencyPenalty: [0, 0.4, -0.2],
};
const anySettings = fc.record({
  ...mapSettings((name, { neutral, max }) =>
    fc.constantFrom(...(usual[name] ?? [neutral, neutral, Math.min(max, 2) / 2])),
  ),
  logitBias: fc.array(fc.tuple(id, fc.integer({ min: -4, max: 4 })), { maxLength: 4 }).map((pairs) => new Map(pairs)),
  seed: fc.maxSafeNat(),
  choice: fc.nat(3),
  logprobs: fc.constantFrom(-1, 0, 3),
});

interface AnyText {
  readonly prompt: number[];
  readonly maxTokens: number;
  readonly settings: Partial<SamplerSettings>;
  readonly endToken: number | undefined;
}
const anyText: fc.Arbitrary<AnyText> = fc.record({
  prompt: fc.array(id, { minLength: 1, maxLength: 20 }),
  maxTokens: fc.integer({ min: 1, max: 20 }),
  settings: anySettings,
  endToken: fc.option(id, { nil: undefined }),
});

/** Every proposer that works with the models here: a new one takes part without being named. */
const kindsHere = proposerKinds.filter((kind) =>
  isAvailable(kind, {
    mask: { nDepths: 3, sharedByDepth: false, entryLayer: 0 },
    ...{ nExtraHeads: 0, hasDraft: false, hasPrediction: true, hasGrammar: false },
  }),
);
/** The others, with the test that covers them instead. */
const covered: Partial<Record<ProposerKind, string>> = {
  ...{ medusa: "medusa.test.ts", draft: "draft.test.ts", grammar: "grammar-verification.test.ts" },
};

/** Every shape whose rounds are the same each time. */
const shapesHere = shapeNames.filter((shape) => shapes[shape].isFixed);

const anyShape = fc.record({
  planner: fc.constantFrom(...shapesHere, "random" as const, "random" as const),
  stride: fc.integer({ min: 2, max: 5 }),
  shapeSeed: fc.nat(),
  sources: fc.subarray(kindsHere, { minLength: 1 }),
});
type AnyShape = typeof anyShape extends fc.Arbitrary<infer T> ? T : never;

/** What the output must not depend on in any mode. */
interface Circumstances {
  readonly batch: number;
  readonly chunkRows: number;
  /** Forwards after which a sequence's cache is dropped; 0: never. */
  readonly preemptEvery: number;
}
const anyCircumstances: fc.Arbitrary<Circumstances> = fc.record({
  batch: fc.integer({ min: 1, max: 4 }),
  chunkRows: fc.integer({ min: 6, max: 40 }),
  preemptEvery: fc.constantFrom(0, 9, 14),
});

function plannerOf({ planner, stride, shapeSeed }: AnyShape, verification: Verification): Planner {
  if (planner === "random") return new RandomPlanner(shapeSeed, { depth: stride - 1 });
  return new Controller({ maskShare: 1 }).planner({ shape: planner, stride, verification });
}

const full = (settings: Partial<SamplerSettings>): SamplerSettings => ({ ...neutralSettings, ...settings });

function setupOf(
  { prompt, maxTokens, settings, endToken }: AnyText,
  planner: Planner,
  proposers: readonly Proposer[],
  verification: Verification,
): SequenceSetup {
  const endTokens = new Set(endToken === undefined ? [] : [endToken]);
  return { prompt, maxTokens, settings: full(settings), planner, proposers, verification, maxRun: 3, endTokens };
}

/** Plain decoding, one sequence at a time. */
function plain(model: LoadedModel, texts: readonly AnyText[]): Promise<Completion[]> {
  const setups = texts.map((text) => setupOf(text, new FixedPlanner("chain", 1), [], { mode: "exact" }));
  return generateCompletions(model, setups, { batch: 1 });
}

/** With proposals; `predicted`: predicted outputs. */
function proposing(
  model: LoadedModel,
  texts: readonly AnyText[],
  shape: AnyShape,
  predicted: readonly (readonly number[])[],
  verification: Verification,
  { batch, chunkRows, preemptEvery }: Circumstances,
): Promise<Completion[]> {
  const setups = texts.map((text, i) => {
    const parts = {
      ...{ draft: undefined, prediction: predicted[i] ?? [], settings: full(text.settings) },
      proposeFor: verification.mode === "exact" ? ("exact" as const) : ("rejection" as const),
      endTokens: new Set<number>(),
    };
    const own = shape.sources.map((kind) =>
      // Random tokens rarely repeat for as long as it usually asks for.
      kind === "lookup" ? new LookupProposer({ minConfidence: 0 }) : proposers[kind].create(parts),
    );
    return setupOf(text, plannerOf({ ...shape, shapeSeed: shape.shapeSeed + i }, verification), own, verification);
  });
  const isPreempted: GenerateOptions["isPreempted"] = (text, forward) =>
    preemptEvery > 0 && (forward + text) % preemptEvery === preemptEvery - 1;
  return generateCompletions(model, setups, { batch, chunkRows, isPreempted });
}

const texts = fc.array(anyText, { minLength: 1, maxLength: 4 });
const observed = (written: readonly Completion[]) => written.map(({ tokens, logprobs }) => ({ tokens, logprobs }));

async function loaded(name: string, threads: number, instructionSet?: "avx512vnni" | "avx2" | "scalar") {
  const adapter = readAdapter(join(fixtures, "idlm", name.replace(/ .*/, "")));
  const isa = instructionSet === undefined ? {} : { instructionSet };
  const change = name.endsWith("Q4_1") ? { change: true } : {};
  return loadFixture(
    createNativeBackend({ threads, ...isa }),
    "models/llama-tiny",
    "huggingface",
    { adapter },
    change.change ? (program) => quantised(program, "Q4_1", "Q8_0") : undefined,
  );
}

const adapters = ["llama-tiny-entry0", "llama-tiny-entry1", "llama-tiny-entry0 Q4_1"];
/** same-bits.test.ts covers threads. Several threads wait for each other at each step, which is slow on busy cores. */
const threadsFor = (name: string): readonly number[] => (name === "llama-tiny-entry1" ? [1, 2, 3] : [1]);

it("every proposer is covered here or elsewhere", () => {
  expect(kindsHere).toContain("mask");
  const elsewhere = proposerKinds.filter((kind) => !kindsHere.includes(kind));
  for (const kind of elsewhere) {
    const file = covered[kind];
    expect(file, `the test of ${kind}`).toBeDefined();
    expect(existsSync(new URL(file ?? "", import.meta.url)), file).toBe(true);
  }
});

describe("exact verification", { timeout: 600_000 }, () => {
  it.each(adapters)("%s: plain decoding's tokens and the bits of its log-probabilities", async (name) => {
    const model = await loaded(name, 1);
    let accepted = 0;
    await fc.assert(
      fc.asyncProperty(texts, anyShape, anyCircumstances, fc.nat(), async (wanted, shape, circumstances, wrong) => {
        const expected = await plain(model, wanted);
        // A prediction with one wrong token.
        const predicted = expected.map(({ tokens }) =>
          tokens.map((token, i) => (i === wrong % 7 ? (token + 1) % VOCABULARY : token)),
        );
        const found = await proposing(model, wanted, shape, predicted, { mode: "exact" }, circumstances);
        expect(observed(found)).toEqual(observed(expected));
        accepted += found.reduce((sum, text) => sum + text.accepted, 0);
      }),
      { numRuns: 60 },
    );
    expect(accepted).toBeGreaterThan(100);
    model.dispose();
  });

  it("the same with the reference backend", async () => {
    const adapter = readAdapter(join(fixtures, "idlm", "llama-tiny-entry1"));
    const model = await loadFixture(createReferenceBackend(), "models/llama-tiny", "huggingface", { adapter });
    const few = fc.array(
      anyText.map((text) => ({ ...text, maxTokens: Math.min(text.maxTokens, 8), prompt: text.prompt.slice(0, 6) })),
      { minLength: 1, maxLength: 2 },
    );
    await fc.assert(
      fc.asyncProperty(few, anyShape, anyCircumstances, async (wanted, shape, circumstances) => {
        const expected = await plain(model, wanted);
        const predicted = expected.map(({ tokens }) => tokens);
        const found = await proposing(model, wanted, shape, predicted, { mode: "exact" }, circumstances);
        expect(observed(found)).toEqual(observed(expected));
      }),
      { numRuns: 8 },
    );
    model.dispose();
  });
});

describe("rejection and relaxed verification", { timeout: 600_000 }, () => {
  it.each(adapters)("%s: seed and shape alone determine the output", async (name) => {
    const cases = fc.sample(fc.tuple(texts, anyShape, fc.constantFrom(1, 0.5)), { numRuns: 25, seed: 5 });
    const circumstances = fc.sample(anyCircumstances, { numRuns: 25, seed: 6 });
    const verification = (tau: number): Verification => (tau === 1 ? { mode: "rejection" } : { mode: "relaxed", tau });
    let expected: unknown[] | undefined;
    /** The output of plain decoding: right at temperature 0, and a hint otherwise. */
    const predicted: (readonly (readonly number[])[])[] = [];
    let accepted = 0;
    for (const instructionSet of supportedInstructionSets()) {
      for (const threads of threadsFor(name)) {
        const model = await loaded(name, threads, instructionSet);
        const found: unknown[] = [];
        for (const [i, [wanted, shape, tau]] of cases.entries()) {
          const calm = { batch: 1, chunkRows: 64, preemptEvery: 0 };
          const how = expected === undefined ? calm : (circumstances[(i + threads) % 25] as Circumstances);
          predicted[i] ??= (await plain(model, wanted)).map(({ tokens }) => tokens);
          const written = await proposing(model, wanted, shape, predicted[i] ?? [], verification(tau), how);
          found.push(observed(written));
          accepted += written.reduce((sum, text) => sum + text.accepted, 0);
        }
        expected ??= found;
        expect(found, `${instructionSet}, ${threads} threads`).toEqual(expected);
        model.dispose();
      }
    }
    expect(accepted).toBeGreaterThan(50 * threadsFor(name).length);
  });

  it("equal plain decoding at temperature 0", async () => {
    const model = await loaded("llama-tiny-entry0", 1);
    await fc.assert(
      fc.asyncProperty(texts, anyShape, anyCircumstances, async (random, shape, circumstances) => {
        const wanted = random.map((text) => ({ ...text, settings: { ...text.settings, temperature: 0 } }));
        const expected = await plain(model, wanted);
        const predicted = expected.map(({ tokens }) => tokens);
        const found = await proposing(model, wanted, shape, predicted, { mode: "rejection" }, circumstances);
        expect(observed(found)).toEqual(observed(expected));
      }),
      { numRuns: 20 },
    );
    model.dispose();
  });
});
