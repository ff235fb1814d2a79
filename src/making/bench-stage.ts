import { type DecodeFigures, type DecodeMethod, measureDecoding } from "../bench/decode.ts";
import type { BenchPrompt } from "../bench/prompts.ts";
import type { Model } from "../engine/types.ts";
import type { StageContext } from "./context.ts";
import { heldOutPrompts } from "./held-out-prompts.ts";
import { roundedWithin } from "./rounded-within.ts";
import { textFolder } from "./write-stage.ts";

export interface BenchFigures {
  readonly prompts: number;
  readonly pairs: number;
  readonly maxTokens: number;
  /** Plain decoding first, then the shapes of rounds, then the defaults. */
  readonly figures: readonly DecodeFigures[];
}

/** Plain decoding compared with itself differs by less on a machine that does nothing else. */
const MOST_NOISE = 0.05;

/** By how much plain decoding differed from itself, in percent, if other programs disturbed the measurement. */
export function disturbance({ figures }: BenchFigures): number | undefined {
  const noise = Math.abs((figures[0]?.speedUp.median ?? 1) - 1);
  return noise > MOST_NOISE ? Math.round(100 * noise) : undefined;
}

const [LEAST_TOKENS, MOST_TOKENS] = [16, 96];
const [LEAST_PROMPTS, MOST_PROMPTS] = [2, 12];
const [LEAST_PAIRS, MOST_PAIRS] = [2, 9];

/** Measures plain decoding, every shape of rounds that predictions exist for, and the defaults, on held-out prompts. */
export async function benchStage(
  context: StageContext,
  model: Model,
  seconds: number,
  plainTokensPerSecond: number,
): Promise<BenchFigures> {
  const { out, signal, onProgress } = context;
  const masks = model.info.adapter?.depths ?? 1;
  const methods: DecodeMethod[] = [{ drafter: "none", shape: undefined, stride: undefined }];
  for (const shape of ["chain", "quadratic"] as const) {
    for (let stride = 2; stride <= masks + 1; stride++) methods.push({ drafter: "mask", shape, stride });
  }
  methods.push({ drafter: "mask", shape: "auto", stride: undefined });
  methods.push({ drafter: "auto", shape: "auto", stride: undefined });
  // Both sides of each pair.
  const passes = (seconds * plainTokensPerSecond) / (2 * methods.length);
  const maxTokens = roundedWithin(passes / (LEAST_PROMPTS * LEAST_PAIRS), LEAST_TOKENS, MOST_TOKENS);
  const pairs = roundedWithin(passes / maxTokens / LEAST_PROMPTS, LEAST_PAIRS, MOST_PAIRS);
  const nPrompts = roundedWithin(passes / maxTokens / pairs, LEAST_PROMPTS, MOST_PROMPTS);
  const prompts = await heldOutPrompts(textFolder(out), nPrompts, signal);
  let nDone = 0;
  const figures = await measureDecoding(model, {
    cutRepeats: false,
    ...{ methods, batches: [1], pairs, maxTokens, signal },
    prompts: prompts.map(({ messages, temperature, seed }): BenchPrompt => {
      return { kind: "chat", messages, temperature, seed };
    }),
    onStage: (text) => onProgress(nDone++ / methods.length, text),
  });
  return { prompts: prompts.length, pairs, maxTokens, figures };
}
