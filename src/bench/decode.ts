import type { GenerateRequest, GenerationResult, Model, RoundForm } from "../engine/types.ts";
import { IdlmError } from "../errors.ts";
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
  /** Tokens per second over plain decoding's, both in one pair; the interval holds the true median in 95 % of cases. */
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

/** Texts for each place of a batch, so that places stay taken while texts end at different times. */
const TEXTS_PER_PLACE = 3;
/** Shortest text of a batch, as a share of the longest: ends of texts that begin together would otherwise stay together. */
const SHORTEST = 0.5;

/** A prompt whose template is rendered: that is no part of decoding, and takes another process's time. */
interface ReadyPrompt extends BenchPrompt {
  readonly ids: readonly number[];
}

/**
 * Measures ways of decoding against plain decoding: in every pair both write the same texts and take turns in being first:
 * machines change speed from second to second, and what runs second finds warmer caches. What counts are tokens per second
 * while all places of the batch are taken, from the first token on: one text alone to its end, of many until no other waits to
 * take a place. Plain decoding against itself comes first: how far it is from 1 is what the other figures may be off.
 */
export async function measureDecoding(model: Model, plan: DecodePlan): Promise<DecodeFigures[]> {
  const { tokenizer } = model;
  if (tokenizer === undefined) {
    throw new IdlmError("usage", {
      problem: "the model has no tokenizer, and the prompts are texts",
      hint: "Name a model that has one.",
    });
  }
  const prompts: ReadyPrompt[] = [];
  for (const prompt of plan.prompts) prompts.push({ ...prompt, ids: await tokenizer.encodeChat(prompt.messages) });
  const figures: DecodeFigures[] = [];
  const kinds = [...new Set(plan.prompts.map(({ kind }) => kind))];
  for (const batch of plan.batches) {
    for (const kind of kinds) {
      const own = prompts.filter((prompt) => prompt.kind === kind);
      for (const way of plan.ways) {
        if (way.drafter === "predicted" && !own.every(({ predict }) => predict !== undefined)) continue;
        plan.onStage(`${batch} at once, ${kind}, ${nameOf(way)}`);
        figures.push(await measureWay(model, plan, { way, batch, kind, prompts: own }));
      }
    }
  }
  return figures;
}

interface Case {
  readonly way: DecodeWay;
  readonly batch: number;
  readonly kind: Kind;
  readonly prompts: readonly ReadyPrompt[];
}

async function measureWay(model: Model, plan: DecodePlan, { way, batch, kind, prompts }: Case): Promise<DecodeFigures> {
  const groups = groupsOf(prompts, batch);
  const plain: DecodeWay = { drafter: "none", shape: undefined, stride: undefined };
  const write = (how: DecodeWay, group: readonly ReadyPrompt[]) => writeGroup(model, group, batch, how, plan);
  // Uncounted: fills the prefix cache, and the controller has its start.
  for (const group of groups) await write(way, group);
  const ratios: number[] = [];
  const rates: number[] = [];
  const results: GenerationResult[] = [];
  let isSameText = true;
  for (let pair = 0; pair < plan.pairs; pair++) {
    const before: Pass[] = [];
    const own: Pass[] = [];
    for (const [i, group] of groups.entries()) {
      const isFirst = (pair + i) % 2 === 1;
      const early = isFirst ? await write(way, group) : undefined;
      before.push(await write(plain, group));
      own.push(early ?? (await write(way, group)));
    }
    const rate = rateOf(own);
    ratios.push(rate / rateOf(before));
    rates.push(rate);
    const texts = own.flatMap((pass) => pass.results);
    const plainTexts = before.flatMap((pass) => pass.results);
    isSameText &&= texts.every(({ sha256 }, at) => sha256 === plainTexts[at]?.sha256);
    results.push(...texts);
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

/** What takes turns: one text at a time each by itself, a batch as all texts that go through it, prompts repeated. */
function groupsOf(prompts: readonly ReadyPrompt[], batch: number): readonly (readonly ReadyPrompt[])[] {
  if (batch === 1) return prompts.map((prompt) => [prompt]);
  const nTexts = Math.max(prompts.length, TEXTS_PER_PLACE * batch);
  return [Array.from({ length: nTexts }, (_, i) => prompts[i % prompts.length] as ReadyPrompt)];
}

interface Pass {
  /** While all places were taken. */
  readonly ms: number;
  readonly nTokens: number;
  /** Of all texts, in order. */
  readonly results: readonly GenerationResult[];
}

async function writeGroup(
  model: Model,
  group: readonly ReadyPrompt[],
  batch: number,
  way: DecodeWay,
  { maxTokens, signal }: DecodePlan,
): Promise<Pass> {
  signal.throwIfAborted();
  const results: GenerationResult[] = [];
  let next = 0;
  let nTokens = 0;
  let startMs: number | undefined;
  let endMs: number | undefined;
  const takePlace = async (): Promise<void> => {
    while (next < group.length) {
      const at = next++;
      const request = requestOf(group[at] as ReadyPrompt, way, at);
      const own = batch === 1 ? maxTokens : lengthOf(at, maxTokens);
      const generation = model.generate({ ...request, maxTokens: own, signal });
      for await (const { tokens } of generation) {
        if (startMs === undefined) startMs = performance.now();
        else if (endMs === undefined) nTokens += tokens.length;
      }
      results[at] = await generation.result;
    }
    endMs ??= performance.now();
  };
  await Promise.all(Array.from({ length: Math.min(batch, group.length) }, takePlace));
  signal.throwIfAborted();
  return { ms: (endMs ?? 0) - (startMs ?? 0), nTokens, results };
}

/** Of the text with this number: spread evenly over all lengths, whatever the number of texts. */
function lengthOf(at: number, maxTokens: number): number {
  const GOLDEN = 0.618_034;
  return Math.max(1, Math.round(maxTokens * (SHORTEST + (1 - SHORTEST) * ((at * GOLDEN) % 1))));
}

function rateOf(passes: readonly Pass[]): number {
  return (1000 * sum(passes.map(({ nTokens }) => nTokens))) / sum(passes.map(({ ms }) => ms));
}

function requestOf(prompt: ReadyPrompt, { drafter, shape, stride }: DecodeWay, at: number): GenerateRequest {
  const { ids, predict, temperature = 0, seed = 0 } = prompt;
  const canPredict = predict !== undefined && (drafter === "predicted" || drafter === "auto");
  return {
    // The same prompt may stand in a batch more than once: another text each time.
    ...{ ids, temperature, seed: seed + 1000 * at, propose: drafter },
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
