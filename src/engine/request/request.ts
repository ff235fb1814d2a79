import {
  MAX_LOGPROBS,
  mapSettings,
  type SamplerSettings,
  type SamplingSetting,
} from "../../compute/sampling/settings.ts";
import { IdlmError } from "../../errors.ts";
import type { Grammars } from "../../grammar/grammars.ts";
import type { TokenGrammar } from "../../grammar/grammar-state.ts";
import { MAX_CHOICES } from "../limits.ts";
import type { ChatOptions, GenerateRequest, TextTokenizer } from "../types.ts";
import { chatOptions } from "./chat-options.ts";
import { readMessages } from "./messages.ts";
import { numberIn, shown, usage, wholeIn, wrongKey } from "./request-values.ts";
import { type ProposalLimits, type RoundOptions, roundOptions } from "./round-options.ts";

const MAX_STOP_STRINGS = 16;
/** UTF-16 units. Every suffix of the text is compared with prefixes of the stop strings, so their length is bounded. */
const MAX_STOP_LENGTH = 1000;
const MAX_STOP_TOKENS = 64;
/** The bias of a token that is drawn only where a grammar allows no other. */
const NEVER = -1e30;
/** Priorities are from -MAX_PRIORITY to MAX_PRIORITY, which bounds the wait of the lowest one. */
const MAX_PRIORITY = 100;
/** UTF-16 units: enough for an API key or a name. */
const MAX_SHARE_LENGTH = 256;

/** Limits that a request is validated against. */
export interface RequestLimits extends ProposalLimits {
  readonly vocabSize: number;
  /** Context length (positions). */
  readonly context: number;
  readonly tokenizer: TextTokenizer | undefined;
  /** Grammars over the tokenizer's tokens. */
  readonly grammars: Grammars | undefined;
  readonly endTokens: ReadonlySet<number>;
}

/** A valid request with all defaults filled in, except what depends on its prompt. */
export interface CheckedOptions {
  readonly rounds: RoundOptions;
  /** Number of completions; each has its own `settings.choice`. */
  readonly n: number;
  /** Token ids of the predicted output; empty: none. */
  readonly predicted: readonly number[];
  /** Limits the completion; a promise while it is compiled. */
  readonly grammar: TokenGrammar | Promise<TokenGrammar> | undefined;
  /** At least 1. */
  readonly maxTokens: number;
  /** Context length (positions). */
  readonly context: number;
  readonly stop: readonly string[];
  /** End the text, with the model's end tokens. */
  readonly stopTokens: readonly number[];
  readonly settings: SamplerSettings;
  /** Log-probabilities of the prompt's tokens, and of how many others beside each; undefined: none. */
  readonly promptLogprobs: number | undefined;
  readonly priority: number;
  readonly share: string;
  /** How `messages` are rendered. */
  readonly chat: ChatOptions;
  /** Whether rounds are recorded. */
  readonly recordsRounds: boolean;
  readonly signal: AbortSignal | undefined;
}

/** A valid request whose prompt is tokenized and fits into the context. */
export interface CheckedRequest extends CheckedOptions {
  readonly grammar: TokenGrammar | undefined;
  readonly ids: readonly number[];
}

const keys: Readonly<Record<keyof GenerateRequest, true>> = {
  prompt: true,
  messages: true,
  ids: true,
  propose: true,
  stride: true,
  shape: true,
  verify: true,
  tau: true,
  predict: true,
  grammar: true,
  n: true,
  maxTokens: true,
  seed: true,
  logitBias: true,
  ...mapSettings(() => true as const),
  stop: true,
  stopTokens: true,
  ignoreEos: true,
  logprobs: true,
  promptLogprobs: true,
  priority: true,
  share: true,
  context: true,
  tools: true,
  templateArguments: true,
  addGenerationPrompt: true,
  continueFinalMessage: true,
  rounds: true,
  signal: true,
};

/**
 * Validates a request and fills in its defaults; `withPrompt` does the rest. @throws IdlmError "usage" (unknown keys,
 * ranges), "stride-too-long".
 */
export function checkRequest(request: GenerateRequest, limits: RequestLimits): CheckedOptions {
  const given: unknown = request;
  if (typeof given !== "object" || given === null) throw usage("the request must be an object");
  for (const key of Object.keys(request)) {
    if (!Object.hasOwn(keys, key)) throw usage(`unknown key ${key}`, `Valid keys: ${Object.keys(keys).join(", ")}.`);
  }
  const whole = (name: keyof GenerateRequest, min: number, max: number) => wholeIn(name, request[name], min, max);
  const rounds = roundOptions(request, limits);
  const context = whole("context", 1, Number.MAX_SAFE_INTEGER) ?? limits.context;
  if (context > limits.context) {
    throw wrongKey(
      "context",
      `${context} is above the ${limits.context} that the model was loaded with`,
      "Load it with a larger context, or lower this one.",
    );
  }
  const { signal } = request;
  if (signal !== undefined && !(signal instanceof AbortSignal)) throw wrongKey("signal", "expected an AbortSignal");
  const maxTokens = whole("maxTokens", 1, Number.MAX_SAFE_INTEGER) ?? Number.MAX_SAFE_INTEGER;
  const settings = checkSettings(request, whole, limits);
  const stop = checkStop(request.stop, limits.tokenizer);
  return {
    rounds,
    n: whole("n", 1, MAX_CHOICES) ?? 1,
    predicted: predictedIds(request.predict, limits.tokenizer),
    grammar: checkGrammar(request.grammar, limits.grammars),
    maxTokens,
    context,
    stop,
    stopTokens: checkStopTokens(request.stopTokens, limits.vocabSize),
    settings,
    promptLogprobs: whole("promptLogprobs", 0, MAX_LOGPROBS),
    priority: whole("priority", -MAX_PRIORITY, MAX_PRIORITY) ?? 0,
    share: checkShare(request.share),
    chat: chatOptions(request),
    recordsRounds: checkFlag("rounds", request.rounds),
    signal,
  };
}

/**
 * Tokenizes the prompt and limits the completion to the context. A promise if a chat template has to be rendered or a
 * grammar is being compiled.
 * @throws IdlmError "usage" (no prompt, or an invalid one), "context-too-long".
 */
export function withPrompt(
  asked: CheckedOptions,
  request: GenerateRequest,
  limits: RequestLimits,
): CheckedRequest | Promise<CheckedRequest> {
  const ids = promptIds(request, asked.chat, limits);
  const { grammar } = asked;
  if (ids instanceof Promise || grammar instanceof Promise) {
    return Promise.all([ids, grammar]).then(([known, compiled]) => fitted(asked, known, compiled));
  }
  return fitted(asked, ids, grammar);
}

function fitted(asked: CheckedOptions, ids: readonly number[], grammar: TokenGrammar | undefined): CheckedRequest {
  const { context, maxTokens } = asked;
  if (ids.length >= context) {
    const hint = "Shorten the prompt or raise the context; the completion needs at least one position.";
    throw new IdlmError("context-too-long", { nTokens: ids.length, context, hint });
  }
  return { ...asked, ids, grammar, maxTokens: Math.min(maxTokens, context - ids.length) };
}

function predictedIds(predict: unknown, tokenizer: TextTokenizer | undefined): readonly number[] {
  if (predict === undefined) return [];
  if (typeof predict !== "string") throw wrongKey("predict", `expected a string, found ${shown(predict)}`);
  if (tokenizer === undefined) throw wrongKey("predict", "the model has no tokenizer", "Predicted outputs need one.");
  return tokenizer.encode(predict);
}

function checkFlag(name: keyof GenerateRequest, value: unknown): boolean {
  if (value === undefined || typeof value === "boolean") return value ?? false;
  throw wrongKey(name, `expected true or false, found ${shown(value)}`);
}

function checkGrammar(
  grammar: GenerateRequest["grammar"],
  grammars: Grammars | undefined,
): TokenGrammar | Promise<TokenGrammar> | undefined {
  if (grammar === undefined) return undefined;
  if (typeof grammar !== "object" || grammar === null)
    throw wrongKey("grammar", `expected an object, found ${shown(grammar)}`);
  if (grammars === undefined) throw wrongKey("grammar", "the model has no tokenizer", "Grammars need one.");
  return grammars.get(grammar);
}

function checkShare(share: unknown): string {
  if (share === undefined) return "";
  if (typeof share === "string" && share.length <= MAX_SHARE_LENGTH) return share;
  throw wrongKey("share", `expected a string of at most ${MAX_SHARE_LENGTH} characters, found ${shown(share)}`);
}

function checkSettings(
  request: GenerateRequest,
  whole: (name: keyof GenerateRequest, min: number, max: number) => number | undefined,
  { vocabSize, endTokens }: RequestLimits,
): SamplerSettings {
  const bias = checkBias(request.logitBias, vocabSize);
  const avoided = checkFlag("ignoreEos", request.ignoreEos) ? [...endTokens] : [];
  return {
    ...mapSettings((name, setting) => checkSetting(name, setting, request[name], vocabSize)),
    logitBias: new Map([...bias, ...avoided.map((token) => [token, NEVER] as const)]),
    seed: whole("seed", 0, Number.MAX_SAFE_INTEGER) ?? 0,
    choice: 0,
    logprobs: whole("logprobs", 0, MAX_LOGPROBS) ?? -1,
  };
}

function checkSetting(name: string, setting: SamplingSetting, value: unknown, vocabSize: number): number {
  const { neutral, min, max, isOpen, isCount, smallest } = setting;
  const given = isCount ? wholeIn(name, value, min, max) : numberIn(name, value, min, max, isOpen);
  if (given === undefined) return neutral;
  if (smallest !== undefined && given !== neutral && given < smallest) {
    throw wrongKey(name, `expected ${neutral} or a number from ${smallest}, found ${given}`);
  }
  return isCount ? Math.min(given, vocabSize) : given;
}

function checkBias(bias: GenerateRequest["logitBias"], vocabSize: number): ReadonlyMap<number, number> {
  if (bias === undefined) return new Map();
  if (typeof bias !== "object" || bias === null || Array.isArray(bias))
    throw wrongKey("logitBias", "expected numbers by token id");
  const entries: [unknown, unknown][] =
    bias instanceof Map ? [...bias] : Object.entries(bias).map(([id, value]) => [idOf(id), value]);
  for (const [id, value] of entries) {
    if (!isToken(id, vocabSize)) throw wrongKey("logitBias", `${shown(id)} is not a token id below ${vocabSize}`);
    if (typeof value !== "number" || !(Math.abs(value) <= 1e30)) {
      throw wrongKey("logitBias", `expected a number for token ${String(id)}, found ${shown(value)}`);
    }
  }
  return new Map(entries as [number, number][]);
}

/** The key of an object as a token id; unchanged if it is not a number. */
function idOf(name: string): number | string {
  const id = Number(name);
  return String(id) === name ? id : name;
}

function checkStop(stop: GenerateRequest["stop"], tokenizer: TextTokenizer | undefined): readonly string[] {
  if (stop === undefined) return [];
  if (!Array.isArray(stop) || stop.length > MAX_STOP_STRINGS)
    throw wrongKey("stop", `expected a list of at most ${MAX_STOP_STRINGS} strings`);
  for (const [i, text] of (stop as unknown[]).entries()) {
    if (typeof text !== "string" || text.length === 0 || text.length > MAX_STOP_LENGTH) {
      throw wrongKey(`stop[${i}]`, `expected a string of 1 to ${MAX_STOP_LENGTH} characters, found ${shown(text)}`);
    }
  }
  if (stop.length > 0 && tokenizer === undefined)
    throw wrongKey("stop", "the model has no tokenizer", "Stop strings need one.");
  return [...stop];
}

function checkStopTokens(tokens: unknown, vocabSize: number): readonly number[] {
  if (tokens === undefined) return [];
  if (!Array.isArray(tokens) || tokens.length > MAX_STOP_TOKENS) {
    throw wrongKey("stopTokens", `expected a list of at most ${MAX_STOP_TOKENS} token ids`);
  }
  const wrong = (tokens as unknown[]).findIndex((id) => !isToken(id, vocabSize));
  if (wrong < 0) return [...tokens];
  throw wrongKey(`stopTokens[${wrong}]`, `${shown(tokens[wrong])} is not a token id below ${vocabSize}`);
}

function promptIds(
  request: GenerateRequest,
  chat: ChatOptions,
  { tokenizer, vocabSize }: RequestLimits,
): readonly number[] | Promise<readonly number[]> {
  const { prompt, messages, ids } = request;
  if ([prompt, messages, ids].filter((given) => given !== undefined).length !== 1) {
    throw usage("expected exactly one of prompt, messages and ids");
  }
  if (ids !== undefined) {
    if (!Array.isArray(ids) || ids.length === 0) throw wrongKey("ids", "expected at least one token id");
    const wrong = (ids as unknown[]).find((id) => !isToken(id, vocabSize));
    if (wrong !== undefined) throw wrongKey("ids", `${shown(wrong)} is not a token id below ${vocabSize}`);
    return [...ids];
  }
  if (tokenizer === undefined) throw usage("the model has no tokenizer", "Give the prompt as token ids.");
  if (prompt !== undefined) {
    if (typeof prompt !== "string") throw wrongKey("prompt", `expected a string, found ${shown(prompt)}`);
    const encoded = tokenizer.encodePrompt(prompt);
    if (encoded.length === 0)
      throw wrongKey("prompt", prompt === "" ? "expected a string that is not empty" : "it encodes to no tokens");
    return encoded;
  }
  return tokenizer.encodeChat(
    readMessages(messages, (path, expected, found) =>
      wrongKey(`messages${path}`, `expected ${expected}, found ${found}`),
    ),
    chat,
  );
}

function isToken(id: unknown, vocabSize: number): boolean {
  return Number.isInteger(id) && (id as number) >= 0 && (id as number) < vocabSize;
}
