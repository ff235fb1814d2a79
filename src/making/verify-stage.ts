import type { GenerateRequest, GenerationResult, Model } from "../engine/types.ts";
import { IdlmError } from "../errors.ts";
import type { StageContext } from "./context.ts";
import { heldOutPrompts, type HeldOutPrompt } from "./held-out-prompts.ts";
import { roundedWithin } from "./rounded-within.ts";
import { textFolder } from "./write-stage.ts";

/** A text that was generated in several ways. */
export interface VerifiedText {
  readonly source: string;
  readonly prompt: string;
  readonly temperature: number;
  readonly sha256: string;
  readonly tokens: number;
  readonly text: string;
  /** Forwards by the way of decoding, plain decoding first. */
  readonly forwards: Readonly<Record<string, number>>;
  /** The text in pieces as the rounds of the default decoding produced it; accepted: tokens that were proposed. */
  readonly pieces: readonly { readonly text: string; readonly accepted: boolean }[];
}

export interface VerifyFigures {
  readonly maxTokens: number;
  /** Ways of decoding beside plain decoding, for a person. */
  readonly ways: readonly string[];
  readonly texts: readonly VerifiedText[];
}

const MAX_TOKENS = 96;
const [LEAST_PROMPTS, MOST_PROMPTS] = [4, 24];

/**
 * Generates texts of held-out prompts plainly and with proposals. @throws IdlmError "bytes-differ" where one differs.
 */
export async function verifyStage(
  context: StageContext,
  model: Model,
  seconds: number,
  plainTokensPerSecond: number,
): Promise<VerifyFigures> {
  const { out, signal, onProgress } = context;
  const masks = model.info.adapter?.depths ?? 1;
  const ways: Readonly<Record<string, Partial<GenerateRequest>>> = {
    plain: { propose: "none" },
    "MASK rows, chosen by the controller": { propose: "mask" },
    [`MASK rows, quadratic, stride ${masks + 1}`]: { propose: "mask", shape: "quadratic", stride: masks + 1 },
  };
  const secondsEach = (Object.keys(ways).length * MAX_TOKENS) / plainTokensPerSecond;
  const most = roundedWithin(seconds / secondsEach, LEAST_PROMPTS, MOST_PROMPTS);
  const prompts = await heldOutPrompts(textFolder(out), most, signal);
  const texts: VerifiedText[] = [];
  for (const prompt of prompts) {
    const results: [string, GenerationResult][] = [];
    let pieces: VerifiedText["pieces"] = [];
    for (const [name, how] of Object.entries(ways)) {
      const { result, found } = await generate(model, prompt, how, signal);
      signal.throwIfAborted();
      results.push([name, result]);
      if (results.length === 2) pieces = found;
      onProgress((texts.length + results.length / Object.keys(ways).length) / prompts.length, `${texts.length} texts`);
    }
    const [[, plain] = [], ...others] = results as [[string, GenerationResult], ...[string, GenerationResult][]];
    if (plain === undefined) continue;
    for (const [name, { sha256 }] of others) {
      if (sha256 !== plain.sha256) throw new IdlmError("bytes-differ", { what: `plain decoding and ${name}` });
    }
    texts.push({
      ...{ source: prompt.source, prompt: prompt.messages.at(-1)?.content ?? "", temperature: prompt.temperature },
      ...{ sha256: plain.sha256, tokens: plain.tokens.length, text: plain.text, pieces },
      forwards: Object.fromEntries(results.map(([name, { forwards }]) => [name, forwards])),
    });
  }
  return { maxTokens: MAX_TOKENS, ways: Object.keys(ways).slice(1), texts };
}

async function generate(model: Model, prompt: HeldOutPrompt, how: Partial<GenerateRequest>, signal: AbortSignal) {
  const { messages, temperature, seed } = prompt;
  const request = { messages, temperature, seed, maxTokens: MAX_TOKENS, rounds: true, signal, ...how };
  const generation = model.generate(request);
  const found: { text: string; accepted: boolean }[] = [];
  for await (const { record } of generation) {
    for (const { text, depth } of record?.tokens ?? []) {
      const last = found.at(-1);
      if (last !== undefined && last.accepted === depth > 0) last.text += text;
      else found.push({ text, accepted: depth > 0 });
    }
  }
  return { result: await generation.result, found };
}
