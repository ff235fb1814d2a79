import { expect } from "vitest";
import type { SamplerSettings } from "../../src/compute/sampling/settings.ts";

/** A sampler's state besides its settings. */
export interface History {
  readonly prompt?: readonly number[];
  /** Accepted and extra tokens together. */
  readonly output?: readonly number[];
  /** Ids that are allowed; absent: all. */
  readonly allowed?: ReadonlySet<number> | undefined;
}

export interface Distribution {
  /** Probability per token id, 0 where a setting excludes the token. At temperature 0 all on the drawn token. */
  readonly probabilities: Float64Array;
  /** Logits after penalties, bias and mask. */
  readonly adjusted: Float64Array;
  /** Distance to the nearest other result of top-k, top-p or min-p; smaller than rounding errors, it is a tie. */
  readonly margin: number;
}

/** The distribution by the definition of the settings (SamplerSettings), computed independently of the samplers. */
export function exactDistribution(
  logits: Float32Array,
  settings: SamplerSettings,
  history: History = {},
): Distribution {
  const { prompt = [], output = [], allowed } = history;
  const adjusted = Float64Array.from(logits, (logit, id) => {
    if (allowed !== undefined && !allowed.has(id)) return Number.NEGATIVE_INFINITY;
    const occurrences = output.filter((other) => other === id).length;
    const isSeen = occurrences > 0 || prompt.includes(id);
    const factor = logit > 0 ? 1 / settings.repetitionPenalty : settings.repetitionPenalty;
    const penalty = (occurrences > 0 ? settings.presencePenalty : 0) + occurrences * settings.frequencyPenalty;
    return (isSeen ? logit * factor : logit) - penalty + (settings.logitBias.get(id) ?? 0);
  });
  const order = [...adjusted.keys()].sort((a, b) => at(adjusted, b) - at(adjusted, a) || a - b);
  const largest = at(adjusted, order[0] ?? 0);
  const probabilities = new Float64Array(logits.length);
  if (settings.temperature === 0) {
    probabilities[order[0] ?? 0] = 1;
    return { probabilities, adjusted, margin: 1 };
  }
  const weights = adjusted.map((score) => Math.exp((score - largest) / settings.temperature));
  let margin = Number.POSITIVE_INFINITY;
  let kept = order;
  if (settings.topK > 0 && settings.topK < order.length) {
    margin = at(adjusted, order[settings.topK - 1] ?? 0) - at(adjusted, order[settings.topK] ?? 0);
    kept = order.slice(0, settings.topK);
  }
  if (settings.topP < 1) {
    const total = kept.reduce((sum, id) => sum + at(weights, id), 0);
    let before = 0;
    kept = kept.filter((id, rank) => {
      const isKept = rank === 0 || before < settings.topP * total;
      if (rank > 0) margin = Math.min(margin, Math.abs(before / total - settings.topP));
      before += at(weights, id);
      return isKept;
    });
  }
  if (settings.minP > 0) {
    for (const id of kept.slice(1)) margin = Math.min(margin, Math.abs(at(weights, id) - settings.minP));
    kept = kept.filter((id) => at(weights, id) >= settings.minP);
  }
  const total = kept.reduce((sum, id) => sum + at(weights, id), 0);
  for (const id of kept) probabilities[id] = at(weights, id) / total;
  return { probabilities, adjusted, margin };
}

/** Probability that a test fails for a correct sampler and a random seed (the seeds are fixed). */
const FALSE_ALARM = 1e-4;

/** Smallest expected count of a cell; rarer outcomes are merged. */
const MIN_EXPECTED = 10;

export interface ChiSquare {
  readonly statistic: number;
  readonly degrees: number;
  /** Outcomes of probability 0 that occurred. */
  readonly impossible: number;
}

/** Pearson's chi-square statistic of draws. */
export function chiSquare(outcomes: readonly number[], probabilities: Float64Array): ChiSquare {
  const counts = new Float64Array(probabilities.length);
  for (const outcome of outcomes) counts[outcome] = at(counts, outcome) + 1;
  const cells: { expected: number; count: number }[] = [];
  let rest = { expected: 0, count: 0 };
  let impossible = 0;
  for (const [id, probability] of probabilities.entries()) {
    const count = at(counts, id);
    if (probability === 0) impossible += count;
    const expected = probability * outcomes.length;
    if (expected >= MIN_EXPECTED) cells.push({ expected, count });
    else rest = { expected: rest.expected + expected, count: rest.count + count };
    if (rest.expected >= MIN_EXPECTED) {
      cells.push(rest);
      rest = { expected: 0, count: 0 };
    }
  }
  // The rest is too rare for a separate cell.
  const last = cells.pop() ?? { expected: 0, count: 0 };
  cells.push({ expected: last.expected + rest.expected, count: last.count + rest.count });
  const statistic = cells.reduce((sum, { expected, count }) => sum + (count - expected) ** 2 / expected, 0);
  return { statistic, degrees: cells.length - 1, impossible };
}

/**
 * A bound that a chi-square variable of k degrees exceeds with probability at most `falseAlarm`: k + 2√(kx) + 2x, x = −ln falseAlarm
 * (Laurent and Massart, 2000, Lemma 1).
 */
export function chiSquareBound(degrees: number, falseAlarm: number): number {
  const x = -Math.log(falseAlarm);
  return degrees + 2 * Math.sqrt(degrees * x) + 2 * x;
}

/** Pearson's chi-square test of draws. Outcomes of probability 0 must not occur. */
export function expectDistributed(
  outcomes: readonly number[],
  probabilities: Float64Array,
  falseAlarm = FALSE_ALARM,
): void {
  const { statistic, degrees, impossible } = chiSquare(outcomes, probabilities);
  expect(impossible, "draws with probability 0").toBe(0);
  expect(statistic).toBeLessThanOrEqual(chiSquareBound(degrees, falseAlarm));
}

/** Expects pairs of draws to be independent, each with these probabilities. */
export function expectIndependent(a: readonly number[], b: readonly number[], probabilities: Float64Array): void {
  const n = probabilities.length;
  const pairs = a.map((first, i) => first * n + (b[i] as number));
  const joint = new Float64Array(n * n);
  for (const [i, p] of probabilities.entries()) {
    for (const [j, q] of probabilities.entries()) joint[i * n + j] = p * q;
  }
  expectDistributed(pairs, joint);
}

/** One bit per token, for Draw.allowed. */
export function maskOf(allowed: Iterable<number>, vocabSize: number): Uint32Array {
  const mask = new Uint32Array(Math.ceil(vocabSize / 32));
  for (const id of allowed) mask[id >> 5] = at(mask, id >> 5) | (1 << (id & 31));
  return mask;
}

export function at(values: { readonly [index: number]: number }, index: number): number {
  const value = values[index];
  if (value === undefined) throw new RangeError(`no element ${index}`);
  return value;
}

export interface SettingsCase {
  readonly settings: Partial<SamplerSettings>;
  readonly history?: History;
}

/** Each setting alone, and all together, for a vocabulary of at least 12 tokens with logits within a few units. */
export const settingsCases: Readonly<Record<string, SettingsCase>> = {
  "temperature 1": { settings: {} },
  "a low temperature": { settings: { temperature: 0.4 } },
  "a high temperature": { settings: { temperature: 2.5 } },
  "top-k": { settings: { topK: 5 } },
  "top-p": { settings: { topP: 0.7 } },
  "min-p": { settings: { minP: 0.25 } },
  "a repetition penalty": { settings: { repetitionPenalty: 1.8 }, history: { prompt: [0, 1, 2], output: [3, 4, 4] } },
  "a presence penalty": { settings: { presencePenalty: 1.5 }, history: { prompt: [0, 1], output: [2, 3, 3] } },
  "a frequency penalty": { settings: { frequencyPenalty: 0.75 }, history: { prompt: [0], output: [2, 3, 3, 3] } },
  "a logit bias": {
    settings: {
      logitBias: new Map([
        [1, 2.5],
        [4, -3],
        [11, 1],
      ]),
    },
  },
  "a mask": { settings: {}, history: { allowed: new Set([1, 3, 4, 7, 10]) } },
  everything: {
    settings: {
      repetitionPenalty: 1.2,
      presencePenalty: 0.5,
      frequencyPenalty: 0.25,
      logitBias: new Map([
        [2, 3],
        [5, 2.5],
        [6, 2],
        [7, 2],
      ]),
      temperature: 0.8,
      topK: 7,
      topP: 0.95,
      minP: 0.02,
    },
    history: { prompt: [0, 2], output: [5, 5, 8], allowed: new Set([0, 1, 2, 3, 5, 6, 7, 8, 9, 11]) },
  },
};
