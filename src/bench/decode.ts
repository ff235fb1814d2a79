import type { GenerateRequest, GenerationResult, Model, Propose } from "../engine/types.ts";
import { IdlmError } from "../errors.ts";
import { REPEATED_TOKENS, RepeatedRun } from "../tokenizer/repeated-run.ts";
import type { BenchPrompt, Kind } from "./prompts.ts";
import { type Interval, median, medianInterval } from "./statistics.ts";

/** The proposer; auto: all available ones. */
export type Drafter = Propose;

/** A decoding method. */
export interface DecodeMethod {
  readonly drafter: Drafter;
  /** Undefined for plain decoding. */
  readonly shape: GenerateRequest["shape"];
  readonly stride: number | undefined;
}

/** Results of a method for one kind of prompts and one batch size. */
export interface DecodeFigures extends DecodeMethod {
  readonly kind: Kind;
  readonly batch: number;
  /** Tokens per second relative to plain decoding in the same pair, with a 95 % confidence interval of the median. */
  readonly speedUp: Interval;
  readonly tokensPerSecond: number;
  readonly tokensPerForward: number;
  /** Time of a round relative to a plain forward: tokensPerForward / speedUp. */
  readonly overhead: number;
  /** Means over rounds, per sequence. */
  readonly tokenRows: number;
  readonly maskRows: number;
  /** Acceptance rate at depth i + 1, of the proposals whose ancestors were all accepted. */
  readonly acceptanceByDepth: readonly number[];
  /** Rounds by their rows, the most frequent first. */
  readonly rounds: GenerationResult["rounds"];
  /**
   * Share of plain decoding's tokens, as many as `maxTokens` allows, from where a run of 12 tokens comes a second time: texts
   * in loops, which lookup predicts. 0 to 1, whether they are cut or not.
   */
  readonly repeatedShare: number;
  /** Whether all outputs have the bytes of plain decoding. */
  readonly isSameText: boolean;
}

/** What measuring needs of a model. */
type DecodingModel = Pick<Model, "tokenizer" | "generate">;

export interface DecodePlan {
  readonly methods: readonly DecodeMethod[];
  readonly batches: readonly number[];
  readonly prompts: readonly BenchPrompt[];
  /** Interleaved pairs of each method with plain decoding. */
  readonly pairs: number;
  readonly maxTokens: number;
  /** Ends each output where a run of 12 tokens comes a second time. */
  readonly cutRepeats: boolean;
  readonly signal: AbortSignal;
  readonly onStage: (text: string) => void;
}

/** Sequences per slot of a batch, so that all slots stay in use while sequences end at different times. */
const SEQUENCES_PER_SLOT = 3;
/** Shortest output of a batch relative to the longest: with equal lengths, sequences would start and end together. */
const SHORTEST = 0.5;

/** A prompt with its token ids: rendering the template is not part of decoding, and uses another process. */
interface ReadyPrompt extends BenchPrompt {
  readonly ids: readonly number[];
}

/**
 * Compares decoding methods with plain decoding. In each pair both generate the same texts, and they go first alternately,
 * because machines change speed from second to second and the second run finds warmer caches. Measures tokens per second
 * from the first token on while all slots of the batch are in use: at batch size 1 to the end, above until no sequence is
 * waiting for a slot. Plain decoding is first compared with itself: its distance from 1 is the noise of the measurement.
 */
export async function measureDecoding(model: DecodingModel, plan: DecodePlan): Promise<DecodeFigures[]> {
  const { tokenizer } = model;
  if (tokenizer === undefined) {
    throw new IdlmError("usage", {
      problem: "the model has no tokenizer",
      hint: "Name a model with a tokenizer: the prompts are text.",
    });
  }
  const prompts: ReadyPrompt[] = [];
  for (const prompt of plan.prompts) prompts.push({ ...prompt, ids: await tokenizer.encodeChat(prompt.messages) });
  const figures: DecodeFigures[] = [];
  const kinds = [...new Set(plan.prompts.map(({ kind }) => kind))];
  for (const batch of plan.batches) {
    for (const kind of kinds) {
      const ofKind = prompts.filter((prompt) => prompt.kind === kind);
      const whole = groupsOf(ofKind, batch, plan.maxTokens);
      const lengths: Lengths[] = [];
      for (const group of whole) lengths.push(await measureLengths(model, group, batch, plan));
      const groups = plan.cutRepeats ? whole.map((group, i) => cut(group, lengths[i]?.withoutRepeats ?? [])) : whole;
      const nTokens = sum(lengths.flatMap(({ whole }) => whole));
      const repeatedShare = 1 - sum(lengths.flatMap(({ withoutRepeats }) => withoutRepeats)) / nTokens;
      for (const method of plan.methods) {
        if (method.drafter === "predicted" && !ofKind.every(({ predict }) => predict !== undefined)) continue;
        plan.onStage(`batch ${batch}, ${kind}, ${methodName(method)}`);
        figures.push(await measureMethod(model, plan, { method, batch, kind, groups, repeatedShare }));
      }
    }
  }
  return figures;
}

interface Case {
  readonly method: DecodeMethod;
  readonly batch: number;
  readonly kind: Kind;
  readonly groups: readonly (readonly LimitedPrompt[])[];
  readonly repeatedShare: number;
}

const plain: DecodeMethod = { drafter: "none", shape: undefined, stride: undefined };

/** Tokens of the sequences of a group with plain decoding, and of them before a repeated run. */
interface Lengths {
  readonly whole: readonly number[];
  readonly withoutRepeats: readonly number[];
}

async function measureLengths(
  model: DecodingModel,
  group: readonly LimitedPrompt[],
  batch: number,
  plan: DecodePlan,
): Promise<Lengths> {
  const { tokens } = await generateGroup(model, group, batch, plain, plan.signal);
  const withoutRepeats = tokens.map((ids) => {
    const run = new RepeatedRun(REPEATED_TOKENS);
    for (const id of ids) {
      const second = run.push(id);
      if (second !== undefined) return second;
    }
    return ids.length;
  });
  return { whole: tokens.map((ids) => ids.length), withoutRepeats };
}

/** Leaves two tokens at least: the time from the first to the last is measured. */
function cut(group: readonly LimitedPrompt[], lengths: readonly number[]): LimitedPrompt[] {
  return group.map((prompt, at) => ({ ...prompt, limit: Math.max(2, lengths[at] ?? prompt.limit) }));
}

async function measureMethod(model: DecodingModel, plan: DecodePlan, testCase: Case): Promise<DecodeFigures> {
  const { method, batch, kind, groups, repeatedShare } = testCase;
  const generate = (how: DecodeMethod, group: readonly LimitedPrompt[]) =>
    generateGroup(model, group, batch, how, plan.signal);
  // Warm-up: fills the prefix cache and the controller's estimates. Plain decoding has run for the lengths.
  if (method.drafter !== "none") for (const group of groups) await generate(method, group);
  const ratios: number[] = [];
  const rates: number[] = [];
  const results: GenerationResult[] = [];
  let isSameText = true;
  for (let pair = 0; pair < plan.pairs; pair++) {
    const before: Pass[] = [];
    const passes: Pass[] = [];
    for (const [i, group] of groups.entries()) {
      const isFirst = (pair + i) % 2 === 1;
      const early = isFirst ? await generate(method, group) : undefined;
      before.push(await generate(plain, group));
      passes.push(early ?? (await generate(method, group)));
    }
    const rate = rateOf(passes);
    ratios.push(rate / rateOf(before));
    rates.push(rate);
    const ownResults = passes.flatMap((pass) => pass.results);
    const plainResults = before.flatMap((pass) => pass.results);
    isSameText &&= ownResults.every(({ sha256 }, at) => sha256 === plainResults[at]?.sha256);
    results.push(...ownResults);
  }
  const speedUp = medianInterval(ratios);
  const forwards = sum(results.map((result) => result.forwards));
  const tokensPerForward = sum(results.map((result) => result.forwards * result.tokensPerForward)) / forwards;
  const rounds = countRounds(results.flatMap((result) => result.rounds));
  const perRound = (rows: (round: (typeof rounds)[number]) => number) =>
    sum(rounds.map((round) => rows(round) * round.rounds)) / sum(rounds.map((round) => round.rounds));
  return {
    ...{ ...method, kind, batch, speedUp, tokensPerForward, overhead: tokensPerForward / speedUp.median },
    tokensPerSecond: median(rates),
    tokenRows: perRound(({ proposals }) => 1 + proposals),
    maskRows: perRound(({ maskRows }) => maskRows),
    acceptanceByDepth: acceptanceOf(results),
    rounds,
    repeatedShare,
    isSameText,
  };
}

/** A prompt with the tokens that it may generate. */
interface LimitedPrompt extends ReadyPrompt {
  readonly limit: number;
}

/** The units of interleaving: single prompts at batch size 1, else one group of all prompts, repeated to fill the batch. */
function groupsOf(prompts: readonly ReadyPrompt[], batch: number, maxTokens: number): LimitedPrompt[][] {
  if (batch === 1) return prompts.map((prompt) => [{ ...prompt, limit: maxTokens }]);
  const nSequences = Math.max(prompts.length, SEQUENCES_PER_SLOT * batch);
  return [
    Array.from({ length: nSequences }, (_, i) => {
      const prompt = prompts[i % prompts.length] as ReadyPrompt;
      return { ...prompt, limit: lengthOf(i, maxTokens) };
    }),
  ];
}

interface Pass {
  /** While all slots were in use. */
  readonly ms: number;
  readonly nTokens: number;
  /** Of all sequences, in order, as are their tokens. */
  readonly results: readonly GenerationResult[];
  readonly tokens: readonly (readonly number[])[];
}

async function generateGroup(
  model: DecodingModel,
  group: readonly LimitedPrompt[],
  batch: number,
  method: DecodeMethod,
  signal: AbortSignal,
): Promise<Pass> {
  signal.throwIfAborted();
  const results: GenerationResult[] = [];
  const allTokens: (readonly number[])[] = [];
  let next = 0;
  let nTokens = 0;
  let startMs: number | undefined;
  let endMs: number | undefined;
  const fillSlot = async (): Promise<void> => {
    while (next < group.length) {
      const at = next++;
      const prompt = group[at] as LimitedPrompt;
      const generation = model.generate({ ...requestOf(prompt, method, at), maxTokens: prompt.limit, signal });
      const own: number[] = [];
      allTokens[at] = own;
      for await (const { tokens } of generation) {
        own.push(...tokens);
        if (startMs === undefined) startMs = performance.now();
        else if (endMs === undefined) nTokens += tokens.length;
      }
      results[at] = await generation.result;
    }
    endMs ??= performance.now();
  };
  await Promise.all(Array.from({ length: Math.min(batch, group.length) }, fillSlot));
  signal.throwIfAborted();
  return { ms: (endMs ?? 0) - (startMs ?? 0), nTokens, results, tokens: allTokens };
}

/** Length of the sequence with this index: evenly distributed, whatever the number of sequences. */
function lengthOf(at: number, maxTokens: number): number {
  const GOLDEN = 0.618_034;
  return Math.max(1, Math.round(maxTokens * (SHORTEST + (1 - SHORTEST) * ((at * GOLDEN) % 1))));
}

function rateOf(passes: readonly Pass[]): number {
  return (1000 * sum(passes.map(({ nTokens }) => nTokens))) / sum(passes.map(({ ms }) => ms));
}

function requestOf(prompt: ReadyPrompt, { drafter, shape, stride }: DecodeMethod, at: number): GenerateRequest {
  const { ids, predict, temperature = 0, seed = 0 } = prompt;
  const canPredict = predict !== undefined && (drafter === "predicted" || drafter === "auto");
  return {
    // A prompt may occur several times in a batch; each has another seed.
    ...{ ids, temperature, seed: seed + 1000 * at, propose: drafter },
    ...(canPredict ? { predict } : {}),
    ...(shape === undefined ? {} : { shape }),
    ...(stride === undefined ? {} : { stride }),
  };
}

function countRounds(all: GenerationResult["rounds"]): GenerationResult["rounds"] {
  const counts = new Map<string, { proposals: number; maskRows: number; rounds: number }>();
  for (const { proposals, maskRows, rounds } of all) {
    const key = `${proposals} ${maskRows}`;
    const count = counts.get(key) ?? { proposals, maskRows, rounds: 0 };
    count.rounds += rounds;
    counts.set(key, count);
  }
  return [...counts.values()].sort((a, b) => b.rounds - a.rounds);
}

function acceptanceOf(results: readonly GenerationResult[]): number[] {
  const depth = Math.max(0, ...results.map(({ acceptedByDepth }) => acceptedByDepth.length));
  return Array.from({ length: depth }, (_, i) => {
    let accepted = 0;
    let reached = 0;
    for (const { acceptedByDepth, acceptanceByDepth, proposedByDepth } of results) {
      const count = acceptedByDepth[i] ?? 0;
      const share = acceptanceByDepth[i] ?? 0;
      accepted += count;
      // If none was accepted: all that were proposed below an accepted one.
      reached +=
        share > 0
          ? count / share
          : Math.min(proposedByDepth[i] ?? 0, acceptedByDepth[i - 1] ?? Number.POSITIVE_INFINITY);
    }
    return reached === 0 ? 0 : accepted / reached;
  });
}

/** The method's name in tables and plots. */
export function methodName({ drafter, shape, stride }: DecodeMethod): string {
  if (drafter === "none") return "plain";
  return [drafter, shape, stride].filter((part) => part !== undefined).join(" ");
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
