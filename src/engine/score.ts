import { PAGE_SIZE } from "../compute/forest/forest.ts";
import type { KvCache, LoadedModel } from "../compute/loaded-model.ts";
import type { Sampler } from "../compute/sampling/sampler.ts";
import { exp } from "../compute/elementary.ts";
import { scoredDraw } from "../compute/sampling/scored-draw.ts";
import { MAX_LOGPROBS, neutralSettings } from "../compute/sampling/settings.ts";
import { IdlmError } from "../errors.ts";
import { MAX_FORWARD_ROWS, MAX_ROUND_ROWS } from "./limits.ts";
import { wholeIn } from "./request/request-values.ts";
import type { ScoredText, ScoreRequest, TextTokenizer, TokenLogprobs } from "./types.ts";

const keys: Readonly<Record<keyof ScoreRequest, true>> = {
  text: true,
  ids: true,
  context: true,
  logprobs: true,
  onProgress: true,
  signal: true,
};

/** Dependencies of `score`. */
export interface ScoreContext {
  readonly model: LoadedModel;
  readonly tokenizer: TextTokenizer | undefined;
  /** Context length (positions). */
  readonly contextLength: number;
  /** Runs a forward when no other one of the model is running. */
  readonly run: <T>(forward: () => Promise<T>) => Promise<T>;
}

/** Tokens that are scored in one context. */
interface Window {
  /** Tokens [from, to) of the text. */
  readonly from: number;
  readonly to: number;
  /** First scored token; those before it are context only. */
  readonly scoredFrom: number;
}

/**
 * Splits `length` tokens into windows of at most `size` that overlap by half: each token is scored once, and all but
 * the first ones with at least half a window of context.
 */
export function windowsOf(length: number, size: number, firstScored: number): Window[] {
  const windows: Window[] = [];
  for (let scoredFrom = firstScored; scoredFrom < length; ) {
    const from = scoredFrom === firstScored ? 0 : scoredFrom - Math.floor(size / 2);
    const to = Math.min(length, from + size);
    windows.push({ from, to, scoredFrom });
    scoredFrom = to;
  }
  return windows;
}

/**
 * Log-probability of each token of a text: the same bits as a generation's. With a tokenizer that has a BOS token each
 * window starts with it. @throws IdlmError "usage", "not-finite"; the signal's reason.
 */
export async function score(context: ScoreContext, request: ScoreRequest): Promise<ScoredText> {
  const { model, contextLength } = context;
  const { ids, prefix, size, nTop } = checkScore(request, context);
  // Nothing predicts a first token without a BOS token.
  const firstScored = prefix.length === 0 ? 1 : 0;
  const windows = windowsOf(ids.length, size - prefix.length, firstScored);
  if (windows.length === 0) throw usage(`${ids.length} tokens are too few to score`, "Give a longer text.");
  const known: (TokenScore | undefined)[] = ids.map(() => undefined);
  const scorer = new Scorer(model, Math.min(contextLength, size), nTop ?? 0);
  try {
    for (const { from, to, scoredFrom } of windows) {
      const tokens = [...prefix, ...ids.slice(from, to)];
      const first = scoredFrom - from + prefix.length;
      let at = 0;
      // The last token is only predicted.
      while (at < tokens.length - 1) {
        request.signal?.throwIfAborted();
        const isScored = at + 1 >= first;
        const end = isScored
          ? Math.min(tokens.length - 1, at + MAX_ROUND_ROWS)
          : Math.min(first - 1, tokens.length - 1, at + MAX_FORWARD_ROWS);
        const start = at;
        const found = await context.run(() => scorer.run(tokens, start, end, isScored));
        for (const [i, one] of found.entries()) known[from - prefix.length + start + 1 + i] = one;
        at = end;
        request.onProgress?.({
          tokensDone: Math.min(ids.length, from - prefix.length + at + 1),
          tokensTotal: ids.length,
        });
      }
    }
  } finally {
    scorer.dispose();
  }
  const scored = known.filter((one) => one !== undefined);
  const meanNll = -scored.reduce((sum, { logprob }) => sum + logprob, 0) / scored.length;
  return {
    tokens: ids.map((token, i) => {
      const { logprob, top = [] } = known[i] ?? {};
      return nTop === undefined ? { token, logprob } : { token, logprob, top };
    }),
    nScored: scored.length,
    meanNll,
    perplexity: exp(Math.min(meanNll, MAX_EXPONENT)),
    context: size,
    nWindows: windows.length,
  };
}

/** Largest exponent in double range, about e^709; a perplexity beyond it is meaningless. */
const MAX_EXPONENT = 700;

type TokenScore = Pick<TokenLogprobs, "logprob" | "top">;

/** KV cache and sampler, used for one window at a time. */
class Scorer {
  readonly #model: LoadedModel;
  readonly #cache: KvCache;
  readonly #pages: Int32Array;
  readonly #sampler: Sampler;

  constructor(model: LoadedModel, size: number, nTop: number) {
    this.#model = model;
    this.#pages = Int32Array.from({ length: Math.ceil(size / PAGE_SIZE) }, (_, i) => i);
    this.#cache = model.createCache(this.#pages.length);
    this.#sampler = model.createSampler({ ...neutralSettings, logprobs: nTop });
  }

  /** Runs tokens [start, end). If `isScored`, returns the log-probability of the token after each. */
  async run(tokens: readonly number[], start: number, end: number, isScored: boolean): Promise<TokenScore[]> {
    const nRows = end - start;
    const rows = [...Array(nRows).keys()];
    const draws = rows.slice(0, isScored ? nRows : 0).map((row) => {
      const position = start + row + 1;
      return scoredDraw(tokens[position] as number, { row, sampler: this.#sampler, position });
    });
    const { drawn } = await this.#model.forward(
      {
        sequences: [{ length: start, pages: this.#pages }],
        tokens: Int32Array.from(tokens.slice(start, end)),
        positions: Int32Array.from(rows, (row) => start + row),
        parents: Int32Array.from(rows, (row) => row - 1),
        gate: new Uint8Array(nRows),
        sequence: new Int32Array(nRows),
        needsOutput: new Uint8Array(nRows).fill(isScored ? 1 : 0),
      },
      this.#cache,
      { draws },
    );
    return drawn.map(({ logprob, top = [], failure }) => {
      if (failure !== undefined) throw failure;
      if (logprob === undefined) throw new Error("a draw came without its log-probability");
      return { logprob, top };
    });
  }

  dispose(): void {
    this.#cache.dispose();
  }
}

/** Most tokens of a text: the command line reads at most as many bytes. */
const MAX_TOKENS = 1 << 24;

function checkScore(request: ScoreRequest, { tokenizer, contextLength, model }: ScoreContext) {
  const unknown = Object.keys(request).find((key) => !Object.hasOwn(keys, key));
  if (unknown !== undefined)
    throw usage(`score: unknown key ${unknown}`, `Valid keys: ${Object.keys(keys).join(", ")}.`);
  const { text, ids: given, context: size = contextLength, logprobs } = request;
  if ((text === undefined) === (given === undefined)) throw usage("score: expected one of text and ids", "");
  let ids: readonly number[] = given ?? [];
  let prefix: readonly number[] = [];
  if (text !== undefined) {
    if (typeof text !== "string") throw usage("score: text: expected a string", "");
    if (tokenizer === undefined) throw usage("score: the model has no tokenizer", "Use token ids.");
    ids = tokenizer.encode(text);
    prefix = tokenizer.encodePrompt("");
  }
  const { vocabSize } = model.program.sizes;
  if (!Array.isArray(ids) || ids.length > MAX_TOKENS) throw usage("score: ids: expected an array of tokens", "");
  const wrong = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabSize);
  if (wrong !== undefined) throw usage(`score: ids: expected tokens from 0 to ${vocabSize - 1}, found ${wrong}`, "");
  const min = prefix.length + 2;
  if (!Number.isSafeInteger(size) || size < min || size > contextLength) {
    throw usage(`score: context: expected a whole number from ${min} to ${contextLength}, found ${size}`, "");
  }
  return { ids, prefix, size, nTop: wholeIn("logprobs", logprobs, 0, MAX_LOGPROBS) };
}

function usage(problem: string, hint: string): IdlmError {
  return new IdlmError("usage", { problem, hint });
}
