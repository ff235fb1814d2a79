import { describe, expect, it } from "vitest";
import type { SamplerSettings } from "../src/compute/sampling/settings.ts";
import { neutralSettings } from "../src/compute/sampling/settings.ts";
import { DraftModel } from "../src/decoding/proposers/draft-model.ts";
import { DraftProposer } from "../src/decoding/proposers/draft-proposer.ts";
import { LookupProposer } from "../src/decoding/proposers/lookup-proposer.ts";
import { FixedPlanner, type PlanContext, type Planner, type RoundShape } from "../src/decoding/planners/planner.ts";
import { PredictedProposer } from "../src/decoding/proposers/predicted-proposer.ts";
import { MaskProposer, MedusaProposer, type Proposer } from "../src/decoding/proposers/proposer.ts";
import { candidatesAt, type Proposing } from "../src/decoding/round/proposing.ts";
import { PENDING, type Proposal, type Verification } from "../src/decoding/round/round.ts";
import { StaticTreePlanner } from "../src/decoding/planners/static-tree-planner.ts";
import { type ChiSquare, chiSquare, chiSquareBound, exactDistribution } from "./support/sampling-statistics.ts";
import { TableModel, type TableModelOptions } from "./support/table-model.ts";
import { RandomPlanner, type SequenceSetup, generateCompletions } from "./support/generate-completions.ts";

const LENGTH = 3;
/** Completions per case: 10^5 draws, or IDLM_DRAWS (npm run test:distribution: 10^6). */
const N = Math.ceil(Number(process.env.IDLM_DRAWS ?? 100_000) / LENGTH);
/**
 * False alarms: at most one in a million per case, one in ten thousand for the file of fewer than 100 cases
 * (Bonferroni). Seeds are fixed, so a green run stays green.
 */
const FALSE_ALARM = 1e-6;
/** A case takes seconds with 10^5 draws and minutes with 10^6, more on a busy machine. */
const timeout = 3_600_000;
/** Repetitive, so that prompt lookup finds something. */
const promptFor = (vocabSize: number) => [1, 2, 3, 1, 2, 4, 1, 2].map((token) => token % vocabSize);

interface Case {
  readonly model?: Partial<TableModelOptions>;
  readonly settings?: Partial<SamplerSettings>;
  readonly planner: (seed: number) => Planner;
  readonly proposers: (make: Makers) => Proposer[];
  readonly verification?: Verification;
  /** Options of the draft model and its twin. */
  readonly drafters?: readonly Partial<TableModelOptions>[];
}

interface Makers {
  readonly mask: () => Proposer;
  readonly medusa: () => Proposer;
  readonly lookup: () => Proposer;
  readonly predicted: () => Proposer;
  readonly draft: () => Proposer;
  /** Another draft model with the noise of the first one. */
  readonly twin: () => Proposer;
}

function oneOf<T>(values: Readonly<Record<string, T>>, name: string): T {
  const value = values[name];
  if (value === undefined) throw new RangeError(`no ${name}`);
  return value;
}

/** Proposals after the pending token only: `count` draws of each proposer, in order of drawing or another one. */
class Siblings implements Planner {
  readonly #count: number;
  readonly #order: ((a: Proposal, b: Proposal) => number) | undefined;

  constructor(count: number, order?: (a: Proposal, b: Proposal) => number) {
    this.#count = count;
    this.#order = order;
  }

  lookAhead() {
    return { depth: 1, width: this.#count };
  }

  *plan({ proposers: all, remaining }: PlanContext): Proposing<RoundShape> {
    const proposals: Proposal[] = [];
    for (const proposer of remaining > 1 ? all : []) {
      const { tokens, confidences, from } = yield* candidatesAt(proposer, [], this.#count);
      tokens.forEach((token, rank) => {
        if (proposals.some((other) => other.token === token)) return;
        const confidence = confidences[rank] ?? 0;
        proposals.push({ token, parent: PENDING, source: proposer.kind, rank, confidence, from });
      });
    }
    if (this.#order !== undefined) proposals.sort(this.#order);
    return { proposals, maskRuns: [0, ...proposals].map(() => 1) };
  }
}

const full = (settings: Partial<SamplerSettings> = {}): SamplerSettings => ({
  ...neutralSettings,
  temperature: 1,
  ...settings,
});

/** Probability of each output of LENGTH tokens under plain decoding, by its number in base vocabSize. */
function enumerated(model: TableModel, settings: SamplerSettings): Float64Array {
  const { vocabSize } = model.program.sizes;
  const prompt = promptFor(vocabSize);
  const result = new Float64Array(vocabSize ** LENGTH);
  const visit = (output: readonly number[], probability: number) => {
    if (output.length === LENGTH) {
      result[numberOf(output, vocabSize)] = probability;
      return;
    }
    const logits = model.logitsAfter([...prompt, ...output]);
    const { probabilities, margin } = exactDistribution(logits, settings, { prompt, output });
    expect(margin).toBeGreaterThan(1e-6);
    probabilities.forEach((p, token) => {
      if (p > 0) visit([...output, token], probability * p);
    });
  };
  visit([], 1);
  return result;
}

function numberOf(tokens: readonly number[], vocabSize: number): number {
  return tokens.reduce((number, token) => number * vocabSize + token, 0);
}

/** Generates n completions with different seeds. */
async function written(example: Case, n: number) {
  const { planner, proposers, verification = { mode: "rejection" }, drafters = [{}, {}] } = example;
  const model = new TableModel({ vocabSize: 5, seed: 3, ...example.model });
  const { vocabSize } = model.program.sizes;
  const prompt = promptFor(vocabSize);
  const [drafter, twin] = [drafters[0], drafters[1]].map((options, i) => {
    return new DraftModel(new TableModel({ vocabSize, seed: 4 + i, ...options }), 100, 64 * 6);
  }) as [DraftModel, DraftModel];
  function* setups(): Generator<SequenceSetup> {
    for (let seed = 0; seed < n; seed++) {
      const settings = full({ seed, ...example.settings });
      const drafting = { settings, proposeFor: "rejection", endTokens: new Set<number>() } as const;
      const make: Makers = {
        mask: () => new MaskProposer(),
        medusa: () => new MedusaProposer(),
        lookup: () => new LookupProposer(),
        predicted: () => new PredictedProposer([3, 2, 0, 4].map((token) => token % vocabSize)),
        draft: () => new DraftProposer(drafter, drafting),
        twin: () => new DraftProposer(twin, drafting),
      };
      yield {
        prompt,
        maxTokens: LENGTH,
        settings,
        verification,
        planner: planner(seed),
        proposers: proposers(make),
      };
    }
  }
  const texts = await generateCompletions(model, setups(), { batch: 64 });
  const probabilities = enumerated(model, full(example.settings));
  const outcomes = texts.map(({ tokens }) => numberOf(tokens, vocabSize));
  const accepted = texts.reduce((sum, text) => sum + text.accepted, 0);
  return { outcomes, accepted, tests: LENGTHS.map((length) => testOfStarts(outcomes, probabilities, length)) };
}

/** The first tokens alone have fewer cells, in which a small bias shows. */
const LENGTHS = [1, 2, LENGTH];

function testOfStarts(outcomes: readonly number[], probabilities: Float64Array, length: number): ChiSquare {
  const vocabSize = Math.round(probabilities.length ** (1 / LENGTH));
  const ends = vocabSize ** (LENGTH - length);
  const starts = new Float64Array(probabilities.length / ends);
  probabilities.forEach((p, number) => {
    const start = Math.floor(number / ends);
    starts[start] = (starts[start] ?? 0) + p;
  });
  return chiSquare(
    outcomes.map((number) => Math.floor(number / ends)),
    starts,
  );
}

/** Largest ratio of a case's test statistics to their bounds: below 1 for a correct program. */
function alarm({ tests }: Awaited<ReturnType<typeof written>>): number {
  return Math.max(
    ...tests.map(({ statistic, degrees, impossible }) =>
      impossible > 0 ? Number.POSITIVE_INFINITY : statistic / chiSquareBound(degrees, FALSE_ALARM / LENGTHS.length),
    ),
  );
}

const planners: Readonly<Record<string, (seed: number) => Planner>> = {
  chain: () => new FixedPlanner("chain", 3),
  quadratic: () => new FixedPlanner("quadratic", 4),
  tree: () => new StaticTreePlanner({ stride: 4, maxProposals: 7, maxMaskRows: 12 }),
  "any forest": (seed) => new RandomPlanner(seed),
};

const proposers: Readonly<Record<string, Case["proposers"]>> = {
  "MASK rows": (make) => [make.mask()],
  "Medusa heads": (make) => [make.medusa()],
  lookup: (make) => [make.lookup()],
  "a predicted text": (make) => [make.predicted()],
  "a drafting model": (make) => [make.draft()],
  "all of them": (make) => [make.lookup(), make.predicted(), make.mask(), make.medusa(), make.draft()],
};

const penalties: Partial<SamplerSettings> = {
  repetitionPenalty: 1.3,
  presencePenalty: 0.4,
  frequencyPenalty: 0.3,
  logitBias: new Map([
    [1, 0.8],
    [4, -1],
  ]),
};

/** Combined in turn with planners and proposers, so that every setting meets every one of them. */
const variants: readonly (readonly [string, Pick<Case, "model" | "settings">])[] = [
  ["temperature 1", {}],
  ["temperature 0.7", { settings: { temperature: 0.7 } }],
  ["top-k and top-p", { settings: { topK: 4, topP: 0.9 } }],
  ["min-p and a draft vocabulary", { settings: { minP: 0.1 }, model: { draftVocabulary: [0, 2, 3] } }],
  ["penalties and bias", { settings: penalties }],
  ["everything", { settings: { ...penalties, temperature: 0.7, topK: 4, topP: 0.95, minP: 0.02 } }],
  ["late entry, unlike proposals", { model: { entryLayer: 1, likeness: 0 } }],
  ["likely proposals", { model: { likeness: 0.95 } }],
];

const cases = Object.entries(planners).flatMap(([shape, planner], i) =>
  Object.entries(proposers).map(([sources, make], j) => {
    const [variant, changed] = variants[(i * 3 + j) % variants.length] as (typeof variants)[number];
    return { name: `${shape}, ${sources}, ${variant}`, example: { planner, proposers: make, ...changed } };
  }),
);

describe("rejection sampling preserves the distribution of plain decoding", { timeout }, () => {
  it.each(cases)("$name", async ({ example }) => {
    const result = await written(example, N);
    const { accepted } = result;
    expect(alarm(result)).toBeLessThan(1);
    // Proposals were both accepted and rejected; else nothing was tested.
    expect(accepted).toBeGreaterThan(N / 100);
    expect(accepted).toBeLessThan(N * (LENGTH - 1));
  });

  it("with a vocabulary of 16", async () => {
    const example = { planner: oneOf(planners, "any forest"), proposers: oneOf(proposers, "all of them") };
    expect(alarm(await written({ ...example, model: { vocabSize: 16, spread: 2 } }, N))).toBeLessThan(1);
  });

  it("with relaxed verification of tau 1", async () => {
    const example = { planner: oneOf(planners, "any forest"), proposers: oneOf(proposers, "all of them") };
    const few = Math.min(N, 3000);
    const plain = await written(example, few);
    const relaxed = await written({ ...example, verification: { mode: "relaxed", tau: 1 } }, few);
    expect(relaxed.outcomes).toEqual(plain.outcomes);
  });
});

/** Planted faults, with enough completions to detect them. */
describe("the test finds", { timeout }, () => {
  const masks = oneOf(proposers, "MASK rows");
  const chain = oneOf(planners, "chain");

  it.each([
    ["shares the acceptance's noise", "chain", 4000],
    ["shares the acceptance's noise", "any forest", 4000],
    ["misstates q", "chain", 8000],
    ["misstates q", "tree", 8000],
    ["takes the best", "chain", 4000],
    ["takes the best", "tree", 4000],
  ] as const)("a proposer that %s, in a %s", async (fault, shape, n) => {
    const example = { planner: oneOf(planners, shape), proposers: masks };
    expect(alarm(await written({ ...example, model: { fault } }, n))).toBeGreaterThan(1);
  });

  /** The second token beats the first one in the proposal, then the third one in the residual. */
  const racing = { vocabSize: 3, fixed: { target: [0.05, 0.55, 0.4], draft: [0.5, 0.498, 0.002] } };

  it("a proposer that shares the residual's noise", async () => {
    const example = { planner: chain, proposers: masks };
    const fault = "shares the residual's noise";
    expect(alarm(await written({ ...example, model: { ...racing, fault } }, 30_000))).toBeGreaterThan(1);
    expect(alarm(await written({ ...example, model: racing }, 30_000))).toBeLessThan(1);
  });

  it("two drawing proposers that share their noise", async () => {
    const drafters = [{ fixed: { target: [0.5, 0.498, 0.002] } }, { fixed: { target: [0.1, 0.1, 0.8] } }];
    const example = { planner: () => new Siblings(1), drafters, model: racing };
    const shared = await written({ ...example, proposers: (make) => [make.draft(), make.twin()] }, 30_000);
    expect(alarm(shared)).toBeGreaterThan(1);
    const own = await written({ ...example, proposers: (make) => [make.draft(), make.mask()] }, 30_000);
    expect(alarm(own)).toBeLessThan(1);
  });

  it("a planner that tries the most confident draw first", async () => {
    const surestFirst = () => new Siblings(2, (a, b) => b.confidence - a.confidence);
    expect(alarm(await written({ planner: surestFirst, proposers: masks }, 4000))).toBeGreaterThan(1);
    expect(alarm(await written({ planner: () => new Siblings(2), proposers: masks }, 4000))).toBeLessThan(1);
  });

  it.each([0.3, 0.7])("that relaxed verification of tau %s is not lossless", async (tau) => {
    const example = { planner: chain, proposers: masks };
    const lossless = await written(example, 8000);
    const relaxed = await written({ ...example, verification: { mode: "relaxed", tau } }, 8000);
    expect(alarm(relaxed)).toBeGreaterThan(1);
    expect(relaxed.accepted).toBeGreaterThan(lossless.accepted);
  });
});
