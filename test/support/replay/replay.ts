import { Controller } from "../../../src/decoding/controller/controller.ts";
import { FixedPlanner } from "../../../src/decoding/planners/planner.ts";
import type { Conditions } from "./delays.ts";
import { RecordedText, type RecordedSource } from "./recorded-text.ts";
import { scaleSurvival, survivalOf } from "./scale-survival.ts";
import { type Deciding, fixedRounds, simulate, SimulatedClock, type SimulatedCost } from "./simulation.ts";
import type { RecordedGeneration, TimedRows, Trace } from "./trace.ts";

export { parseTrace } from "./trace.ts";

export interface ReplayOptions {
  /** "measured", "avx2", or the time of a row as a share of a forward. */
  readonly costs: readonly string[];
  /** "recorded", or shares of MASK runs as in ".62/.36/.20". */
  readonly survivals: readonly string[];
  readonly batches: readonly number[];
  readonly kinds: readonly string[];
  readonly conditions: readonly Conditions[];
  /** Repetitions with other noise. */
  readonly seeds: number;
  /** Whether to replay fixed rounds, too. */
  readonly hasFixed: boolean;
}

/** Speed of the controller in one case, as tokens per time. */
export interface ReplayFigure {
  readonly cost: string;
  readonly survival: string;
  readonly kind: string;
  readonly batch: number;
  readonly conditions: Conditions;
  /** Over plain decoding: from the start, and once the texts were seen. */
  readonly first: number;
  readonly overPlain: number;
  readonly tokensPerForward: number;
  /** The fastest fixed rounds. */
  readonly best?: { readonly name: string; readonly overPlain: number };
}

/** As AVX-512 on this project's machines: milliseconds of a step of one row. */
const ONE_ROW_MS = 1.65;
/** Reading an adapter, as a share of a forward. */
const ANY_MASK = 0.05;
/** Milliseconds by rows with AVX2, where kernels compute four rows together (docs/results.md). */
const avx2: readonly TimedRows[] = [
  ...([
    [1, 5],
    [2, 5.1],
    [4, 6.2],
    [5, 7.8],
    [8, 10.9],
    [12, 15.6],
    [16, 20.8],
    [20, 25.9],
    [32, 40.6],
  ] as const),
].map(([tokens, ms]) => ({ tokens, masks: 0, ms }));
/** Per cached position and row. */
const CONTEXT_MS = 1e-4;
/** Sequences of a replay for each slot of a batch. */
const SEQUENCES_PER_SLOT = 3;

const sources: readonly RecordedSource[] = ["mask", "lookup", "predicted"];
const fixed = [
  ...([2, 3, 4] as const).map((stride) => [`quadratic ${stride}`, ["mask"], "quadratic", stride] as const),
  ["chain 2", ["mask"], "chain", 2],
  ["lookup 4", ["lookup"], "chain", 4],
  ["lookup 8", ["lookup"], "chain", 8],
  ["predicted 8", ["predicted"], "chain", 8],
  ["all 4", sources, "quadratic", 4],
] as const;

/** Replays the controller on a trace. */
export function* replayTrace(trace: Trace, options: ReplayOptions): Generator<ReplayFigure> {
  for (const survival of options.survivals) {
    const generations =
      survival === "recorded"
        ? trace.generations
        : scaleSurvival(trace.generations, survival.split("/").map(Number), 1);
    for (const cost of options.costs) {
      const costOf = costNamed(cost, trace);
      for (const kind of options.kinds) {
        const own = kind === "mixed" ? interleaved(generations) : generations.filter((one) => one.kind === kind);
        for (const batch of options.batches) {
          for (const conditions of options.conditions) {
            const figures = replayCase(trace, own, costOf, { ...options, batch, conditions });
            yield { cost, survival, kind, batch, conditions, ...figures };
          }
        }
      }
    }
  }
}

/** Shares of the recorded MASK runs whose first tokens are right, by depth. */
export function recordedSurvival(trace: Trace, kind: string): number[] {
  return survivalOf(
    trace.generations.filter((generation) => generation.kind === kind),
    trace.maxRun,
  );
}

function replayCase(
  { maxRun, maskShare }: Trace,
  generations: readonly RecordedGeneration[],
  cost: SimulatedCost,
  {
    batch,
    conditions,
    seeds,
    hasFixed,
  }: Omit<ReplayOptions, "conditions"> & Pick<ReplayFigure, "batch" | "conditions">,
) {
  const perPass = Math.max(generations.length, SEQUENCES_PER_SLOT * batch);
  const run = (own: readonly RecordedSource[], deciding: Deciding, seed: number, pass: "first" | "later") => {
    const clock = new SimulatedClock();
    function* texts() {
      for (let i = 0; i < (pass === "first" ? 1 : 2) * perPass; i++) {
        const generation = generations[i % generations.length] as RecordedGeneration;
        // Of other lengths in a batch, so that its sequences end at other times.
        const length = batch === 1 ? 1 : 0.5 + 0.5 * ((i * 0.618) % 1);
        const output = generation.output.slice(0, Math.ceil(length * generation.output.length));
        yield new RecordedText({ ...generation, output }, { sources: own, maxRun, clock });
      }
    }
    const counts = ({ texts: started }: { texts: number }) => pass === "first" || started > perPass;
    const common = { slots: batch, seed, clock, conditions, goesOn: () => true };
    return simulate({ ...common, texts: texts(), costAt: () => cost, counts }, deciding);
  };
  const plainRounds = () => fixedRounds(() => new FixedPlanner("chain", 1));
  const rate = ({ tokens, ms }: { tokens: number; ms: number }) => tokens / ms;
  const ratios = { first: 0, overPlain: 0, tokensPerForward: 0 };
  for (let seed = 1; seed <= seeds; seed++) {
    const first = run(sources, deciding(maskShare), seed, "first");
    const later = run(sources, deciding(maskShare), seed, "later");
    ratios.first += rate(first) / rate(run([], plainRounds(), seed, "first")) / seeds;
    ratios.overPlain += rate(later) / rate(run([], plainRounds(), seed, "later")) / seeds;
    ratios.tokensPerForward += later.tokensPerForward / seeds;
  }
  if (!hasFixed) return ratios;
  const plain = rate(run([], plainRounds(), 1, "later"));
  const rates = fixed.map(([name, own, shape, stride]) => {
    const fixedRate = rate(
      run(
        own,
        fixedRounds(() => new FixedPlanner(shape, stride)),
        1,
        "later",
      ),
    );
    return { name, overPlain: fixedRate / plain };
  });
  const best = rates.reduce((a, b) => (b.overPlain > a.overPlain ? b : a), { name: "plain", overPlain: 1 });
  return { ...ratios, best };
}

function deciding(maskShare: number): Deciding {
  const controller = new Controller({ maskShare });
  return {
    planner: () => controller.planner({ shape: "auto", stride: 8, verification: { mode: "exact" } }),
    chooseRounds: () => controller.chooseRounds(),
    observeProposing: (ms) => controller.observeProposing(ms),
    observeStep: (step) => controller.observeStep(step),
  };
}

/** Generations of all kinds by turns. */
function interleaved(generations: readonly RecordedGeneration[]): RecordedGeneration[] {
  const seen = new Map<string, number>();
  const places = generations.map((generation) => {
    const place = seen.get(generation.kind) ?? 0;
    seen.set(generation.kind, place + 1);
    return { generation, place };
  });
  return places.sort((a, b) => a.place - b.place).map(({ generation }) => generation);
}

function costNamed(name: string, trace: Trace): SimulatedCost {
  if (name === "measured") return measuredCost(trace);
  if (name === "avx2") return measuredCost({ ...trace, times: avx2 });
  return linearCost(Number(name), trace.maskShare);
}

/** Each row takes the same time. */
function linearCost(row: number, maskShare: number): SimulatedCost {
  return ({ drawnRows, maskRows, contextRows }) => {
    const rows = drawnRows + maskShare * maskRows - 1;
    return ONE_ROW_MS * (1 + row * rows + (maskRows > 0 ? ANY_MASK : 0)) + CONTEXT_MS * contextRows;
  };
}

/** Piecewise linear in the measured times of token rows; MASK rows add what they did beside few token rows. */
function measuredCost({ times, maskShare }: Trace): SimulatedCost {
  const tokenRows = times.filter(({ masks }) => masks === 0);
  const rowsMs = (rows: number) => interpolate(tokenRows, rows);
  const beyond = times
    .filter(({ masks }) => masks > 0)
    .map(({ tokens, masks, ms }) => ({ masks, ms: ms - rowsMs(tokens + maskShare * masks) }));
  const base = beyond.length === 0 ? ANY_MASK * rowsMs(1) : beyond.reduce((sum, { ms }) => sum + ms, 0) / beyond.length;
  return ({ drawnRows, maskRows, contextRows, sequences }) => {
    // Measured after 256 cached positions.
    const context = CONTEXT_MS * (contextRows - 256 * sequences);
    return rowsMs(drawnRows + maskShare * maskRows) + (maskRows > 0 ? base : 0) + context;
  };
}

function interpolate(points: readonly TimedRows[], rows: number): number {
  const above = points.findIndex(({ tokens }) => tokens >= rows);
  const i = above < 0 ? points.length - 1 : Math.max(1, above);
  const [a, b] = [points[i - 1] as TimedRows, points[i] as TimedRows];
  return a.ms + ((rows - a.tokens) / (b.tokens - a.tokens)) * (b.ms - a.ms);
}
