import type { Model } from "../../engine/types.ts";
import { REPEATED_TOKENS, RepeatedRun } from "../../tokenizer/repeated-run.ts";
import type { TextFinish } from "./row.ts";

export interface GenerateOptions {
  readonly temperature: number;
  readonly seed: number;
  readonly maxTokens: number;
  /** Ends the text like an end token of the model. */
  readonly endToken?: number;
  readonly signal: AbortSignal;
}

export interface GeneratedText {
  /** Without the end token. */
  readonly tokens: readonly number[];
  /** If `finish` is end. */
  readonly endToken?: number;
  readonly finish: TextFinish;
}

/** Continues a prompt, up to where a run of tokens comes a second time. @throws as of `Model.generate`; the signal's reason. */
export async function generateText(
  model: Model,
  ids: readonly number[],
  { endToken, signal, ...options }: GenerateOptions,
): Promise<GeneratedText> {
  signal.throwIfAborted();
  const generation = model.generate({ ids, ...options, propose: "none", signal });
  const repeats = new RepeatedRun(REPEATED_TOKENS);
  const tokens: number[] = [];
  for await (const part of generation) {
    for (const token of part.tokens) {
      if (token === endToken) return { tokens, endToken, finish: "end" };
      tokens.push(token);
      const cut = repeats.push(token);
      if (cut !== undefined) return { tokens: tokens.slice(0, cut), finish: "cut" };
    }
  }
  signal.throwIfAborted();
  const result = await generation.result;
  return result.endToken === undefined
    ? { tokens, finish: "length" }
    : { tokens, endToken: result.endToken, finish: "end" };
}
