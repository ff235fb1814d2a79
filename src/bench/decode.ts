import type { GenerateRequest, GenerationResult, Model, RoundForm } from "../engine/types.ts";
import type { BenchPrompt, Kind } from "./prompts.ts";
import { type Interval, median, medianInterval } from "./statistics.ts";

/** Who proposes; auto: everybody who can. */
export type Drafter = "none" | "mask" | "lookup" | "predicted" | "draft" | "medusa" | "auto";

/** A way of decoding. */
export interface DecodeWay {
  readonly drafter: Drafter;
  /** Undefined for plain decoding. */
  readonly shape: Exclude<RoundForm, "plain"> | undefined;
  readonly stride: number | undefined;
}

/** How a way fared on texts of a kind, so many at once. */
export interface DecodeFigures extends DecodeWay {
  readonly kind: Kind;
  readonly batch: number;
  /** Time of plain decoding over this way's, both in one pair; the interval holds the true median in 95 % of cases. */
  readonly speedUp: Interval;
  readonly tokensPerSecond: number;
  readonly tokensPerForward: number;
  /** Time of a round over a plain forward's: tokensPerForward / speedUp. */
  readonly overhead: number;
  /** In the mean over rounds, of one sequence. */
  readonly tokenRows: number;
  readonly maskRows: number;
  /** Share of proposals at depth i + 1 that stood, of those whose earlier ones all had. */
  readonly acceptanceByDepth: readonly number[];
  /** All texts have plain decoding's bytes. */
  readonly isSameText: boolean;
}

export interface DecodePlan {
  readonly ways: readonly DecodeWay[];
  readonly batches: readonly number[];
  readonly prompts: readonly BenchPrompt[];
  /** Interleaved pairs of each way with plain decoding. */
  readonly pairs: number;
  readonly maxTokens: number;
  readonly signal: AbortSignal;
  readonly onStage: (text: string) => void;
}

/**
 * Measures ways of decoding against plain decoding: in every pair both write the same texts, group of prompts by group, and
 * take turns in being first: machines change speed from second to second, and what runs second finds warmer caches. Only
 * decoding is timed, from the first token on. Plain decoding against itself comes first: how far it is from 1 is what the
 * other figures may be off.
 */
export async function measureDecoding(model: Model, plan: DecodePlan): Promise<DecodeFigures[]> {
  const figures: DecodeFigures[] = [];
  const kinds = [...new Set(plan.prompts.map(({ kind }) => kind))];
  for (const batch of plan.batches) {
    for (const kind of kinds) {
      const prompts = plan.prompts.filter((prompt) => prompt.kind === kind);
      for (const way of plan.ways) {
        if (way.drafter === "predicted" && !prompts.every(({ predict }) => predict !== undefined)) continue;
        plan.onStage(`${batch} at once, ${kind}, ${nameOf(way)}`);
        figures.push(await measureWay(model, plan, { way, batch, kind, prompts }));
      }
    }
  }
  return figures;
}

interface Case {
  readonly way: DecodeWay;
  readonly batch: number;
  readonly kind: Kind;
  readonly prompts: readonly BenchPrompt[];
}

async function measureWay(model: Model, plan: DecodePlan, { way, batch, kind, prompts }: Case): Promise<DecodeFigures> {
  const groups = groupsOf(prompts, batch);
  const plain: DecodeWay = { drafter: "none", shape: undefined, stride: undefined };
  const write = (how: DecodeWay, group: readonly BenchPrompt[]) => writeGroup(model, group, how, plan);
  // Uncounted: fills the prefix cache, and the controller has its start.
  for (const group of groups) await write(way, group);
  const ratios: number[] = [];
  const rates: number[] = [];
  const results: GenerationResult[] = [];
  let isSameText = true;
  for (let pair = 0; pair < plan.pairs; pair++) {
    let plainMs = 0;
    let ownMs = 0;
    let nTokens = 0;
    for (const [i, group] of groups.entries()) {
      const isFirst = (pair + i) % 2 === 1;
      const early = isFirst ? await write(way, group) : undefined;
      const before = await write(plain, group);
      const own = early ?? (await write(way, group));
      plainMs += before.ms;
      ownMs += own.ms;
      nTokens += sum(own.results.map(({ tokens }) => tokens.length));
      isSameText &&= own.results.every(({ sha256 }, at) => sha256 === before.results[at]?.sha256);
      results.push(...own.results);
    }
    ratios.push(plainMs / ownMs);
    rates.push((1000 * nTokens) / ownMs);
  }
  const speedUp = medianInterval(ratios);
  const forwards = sum(results.map((result) => result.forwards));
  const tokensPerForward = sum(results.map((result) => result.forwards * result.tokensPerForward)) / forwards;
  const rounds = results.flatMap((result) => result.rounds);
  const perRound = (rows: (round: (typeof rounds)[number]) => number) =>
    sum(rounds.map((round) => rows(round) * round.rounds)) / sum(rounds.map((round) => round.rounds));
  return {
    ...{ ...way, kind, batch, speedUp, tokensPerForward, overhead: tokensPerForward / speedUp.median },
    tokensPerSecond: median(rates),
    tokenRows: perRound(({ proposals }) => 1 + proposals),
    maskRows: perRound(({ maskRows }) => maskRows),
    acceptanceByDepth: acceptanceOf(results),
    isSameText,
  };
}

/** The prompts, so many at a time; as often as it takes to fill the last group. */
function groupsOf(prompts: readonly BenchPrompt[], batch: number): readonly (readonly BenchPrompt[])[] {
  const nGroups = Math.ceil(prompts.length / batch);
  return Array.from({ length: nGroups }, (_, group) =>
    Array.from({ length: batch }, (_, i) => prompts[(group * batch + i) % prompts.length] as BenchPrompt),
  );
}

async function writeGroup(
  model: Model,
  group: readonly BenchPrompt[],
  way: DecodeWay,
  { maxTokens, signal }: DecodePlan,
): Promise<{ readonly ms: number; readonly results: readonly GenerationResult[] }> {
  signal.throwIfAborted();
  const running = group.map((prompt, i) => model.generate({ ...requestOf(prompt, way, i), maxTokens, signal }).result);
  const results = await Promise.all(running);
  signal.throwIfAborted();
  // They started together. What comes before the first token is the same in all ways.
  const firstMs = Math.min(...results.map(({ prefillMs }) => prefillMs));
  return { ms: Math.max(...results.map(({ prefillMs, decodeMs }) => prefillMs + decodeMs)) - firstMs, results };
}

function requestOf(prompt: BenchPrompt, { drafter, shape, stride }: DecodeWay, place: number): GenerateRequest {
  const { messages, predict, temperature = 0, seed = 0 } = prompt;
  const canPredict = predict !== undefined && (drafter === "predicted" || drafter === "auto");
  return {
    // The same prompt may stand in a batch more than once: another text each time.
    ...{ messages, temperature, seed: seed + 1000 * place, propose: drafter },
    ...(canPredict ? { predict } : {}),
    ...(shape === undefined ? {} : { shape }),
    ...(stride === undefined ? {} : { stride }),
  };
}

function acceptanceOf(results: readonly GenerationResult[]): number[] {
  const depth = Math.max(0, ...results.map(({ acceptedByDepth }) => acceptedByDepth.length));
  return Array.from({ length: depth }, (_, i) => {
    let accepted = 0;
    let reached = 0;
    for (const { acceptedByDepth, acceptanceByDepth, proposedByDepth } of results) {
      const own = acceptedByDepth[i] ?? 0;
      const share = acceptanceByDepth[i] ?? 0;
      accepted += own;
      // Where none stood: all that were proposed behind one that did.
      reached +=
        share > 0 ? own / share : Math.min(proposedByDepth[i] ?? 0, acceptedByDepth[i - 1] ?? Number.POSITIVE_INFINITY);
    }
    return reached === 0 ? 0 : accepted / reached;
  });
}

/** As tables and pictures have it. */
export function nameOf({ drafter, shape, stride }: DecodeWay): string {
  if (drafter === "none") return "plain";
  return [drafter, shape, stride].filter((part) => part !== undefined).join(" ");
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
