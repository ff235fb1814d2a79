import type { AnswerRequest } from "../../answer/types.ts";
import { shown, wrongKey } from "../../engine/request/request-values.ts";
import type { GenerateRequest, TextTokenizer } from "../../engine/types.ts";
import { Body } from "../body.ts";
import { readMaxTokens, readSeedUnlessNegative, readStop } from "../common-keys.ts";
import { grammarNames } from "../grammar-settings.ts";
import { otherGrammarKeys } from "../other-grammar-keys.ts";
import { readOwnKeys, snakeCaseNames } from "../own-keys.ts";
import { refuseUnsupported } from "../unsupported-keys.ts";
import { encodePieces, readPrompts } from "./prompts.ts";

/** A body of POST /completion. */
export interface LlamaRequest {
  readonly model: string | undefined;
  readonly stream: boolean;
  /** Whether the response is a list. */
  readonly isList: boolean;
  /** Whether ids of tokens are wanted without a stream. */
  readonly returnsTokens: boolean;
  /** Keys of the response that are wanted; empty: all. `a/b`: the key b of a, under that name. */
  readonly responseFields: readonly string[];
  /** `n_predict`. */
  readonly maxTokens: number | undefined;
  /** Settings that the response repeats. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** Tokenizes the prompts. @throws IdlmError "usage". */
  answer(tokenizer: TextTokenizer | undefined): AnswerRequest;
}

/** Keys of the API that do not change the text, or have no effect while others are neutral. */
const withoutEffect = [
  ...["cache_prompt", "id_slot", "n_keep", "n_discard", "n_cache_reuse", "user", "stream_options", "verbose"],
  ...["timings_per_token", "return_progress", "sse_ping_interval", "backend_sampling", "dynatemp_exponent"],
  ...["xtc_threshold", "mirostat_tau", "mirostat_eta", "adaptive_decay", "min_keep", "penalty_prompt"],
  ...["dry_base", "dry_allowed_length", "dry_penalty_last_n", "dry_sequence_breakers"],
];
/** More keys that would change the text, or what is said of it, with what has no effect. */
const unsupported = {
  ...otherGrammarKeys,
  // These two are read.
  ...{ grammar: () => true, json_schema: () => true },
  ...{ typ_p: (value: unknown) => value === 1, samplers: () => false },
  ...{ post_sampling_probs: isFalse, grammar_lazy: isFalse },
  adaptive_target: (value: unknown) => typeof value === "number" && value < 0,
};
const names = {
  ...snakeCaseNames,
  ...{ maxTokens: "n_predict", repetitionPenalty: "repeat_penalty", logprobs: "n_probs", ids: "prompt", n: "n_cmpl" },
};

/**
 * Reads a body of llama-server's own completion endpoint. Accepts idlm's own keys, too. Defaults are idlm's, temperature
 * 1. @throws IdlmError "usage" with the key; ranges are validated by the engine.
 */
export function readLlamaRequest(json: unknown): LlamaRequest {
  const body = new Body(json);
  body.ignore(...withoutEffect);
  const { prompts, isList } = readPrompts(body.take("prompt"));
  const ownKeys = readOwnKeys(body);
  const bias = body.take("logit_bias");
  const given = ["n_predict", "max_tokens", "max_completion_tokens"].map((key) => readMaxTokens(body, key));
  const nPredict = given.find((value) => value !== undefined) ?? -1;
  const maxTokens = nPredict < 0 ? undefined : nPredict;
  const nProbs = body.number("n_probs") ?? body.number("logprobs") ?? 0;
  const grammar = readGrammar(body);
  const common: GenerateRequest = {
    ...ownKeys.sampling,
    ...readPenalties(body, ownKeys.sampling),
    ...ownKeys.settings,
    ...(ownKeys.rounds && { rounds: true }),
    temperature: ownKeys.sampling.temperature ?? 1,
    // One is generated, since the engine needs one, and left out.
    maxTokens: maxTokens === 0 ? 1 : maxTokens,
    seed: readSeedUnlessNegative(body),
    n: body.number("n_cmpl") ?? body.number("n"),
    stop: readStop(body),
    logprobs: nProbs > 0 ? nProbs : undefined,
    grammar,
  };
  const [model, stream] = [body.string("model"), body.boolean("stream") ?? false];
  const [returnsTokens, fields] = [body.boolean("return_tokens") ?? false, body.take("response_fields") ?? []];
  if (!Array.isArray(fields) || !fields.every((one) => typeof one === "string")) {
    throw wrongKey("response_fields", `expected names of keys, found ${shown(fields)}`);
  }
  refuseUnsupported(body, unsupported);
  const ignored = body.unread();
  return {
    ...{ model, stream, returnsTokens, responseFields: fields, maxTokens },
    isList: isList || (common.n ?? 1) > 1,
    settings: settingsOf(common, {
      ...{ n_predict: nPredict, max_tokens: nPredict, n_probs: nProbs, stream },
      grammar: grammar?.kind === "ebnf" ? grammar.grammar : "",
    }),
    answer: (tokenizer) => {
      const shownNames = { ...names, ...grammarNames(grammar?.kind === "schema" ? "json_schema" : "grammar") };
      const logitBias = readBias(bias, tokenizer);
      const requests = prompts.map((pieces) => ({ ...common, logitBias, ids: encodePieces(pieces, tokenizer) }));
      return {
        requests,
        format: undefined,
        rounds: ownKeys.rounds,
        isEmpty: maxTokens === 0,
        ignored,
        names: shownNames,
      };
    },
  };
}

function isFalse(value: unknown): boolean {
  return value === false;
}

/** Penalties here look at all tokens: a window (`repeat_last_n`) changes the text where one is set. */
function readPenalties(body: Body, sampling: GenerateRequest): GenerateRequest {
  const repetitionPenalty = body.number("repeat_penalty") ?? sampling.repetitionPenalty;
  const { presencePenalty, frequencyPenalty } = sampling;
  const window = body.number("repeat_last_n");
  const isOff = (repetitionPenalty ?? 1) === 1 && (presencePenalty ?? 0) === 0 && (frequencyPenalty ?? 0) === 0;
  if (isOff || window === 0) return { repetitionPenalty: 1, presencePenalty: 0, frequencyPenalty: 0 };
  if (window === undefined || window < 0) return { repetitionPenalty };
  throw wrongKey("repeat_last_n", "penalties for the last tokens only are not supported", "Set it to -1.");
}

function readGrammar(body: Body): GenerateRequest["grammar"] {
  const [schema, grammar] = [body.take("json_schema"), body.string("grammar")];
  if (schema !== undefined) return { kind: "schema", schema };
  return grammar === undefined || grammar === "" ? undefined : { kind: "ebnf", grammar };
}

/** [[id or text, bias or false], …], or biases by id or text. Each token of a text gets its bias. */
function readBias(value: unknown, tokenizer: TextTokenizer | undefined): GenerateRequest["logitBias"] {
  if (value === undefined) return undefined;
  if (typeof value !== "object" || value === null)
    throw wrongKey("logit_bias", `expected pairs, found ${shown(value)}`);
  const biases = new Map<number, number>();
  for (const pair of Array.isArray(value) ? (value as unknown[]) : Object.entries(value)) {
    const [token, bias] = Array.isArray(pair) ? (pair as unknown[]) : [];
    const ids = typeof token === "string" && !/^\d+$/.test(token) ? tokenizer?.encode(token) : [Number(token)];
    // The engine refuses what is no token, or no number.
    for (const id of ids ?? []) biases.set(id, bias === false ? NEVER : (bias as number));
  }
  return biases;
}

/** The bias of a token that is never drawn. */
const NEVER = -1e30;

/** The settings as the API lists them, those included that are off. */
function settingsOf(
  request: GenerateRequest,
  more: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  const { stop = [], seed = 0, topK = 0, topP = 1, minP = 0 } = request;
  return {
    ...{ seed, temperature: request.temperature, dynatemp_range: 0, dynatemp_exponent: 1 },
    ...{ top_k: topK, top_p: topP, min_p: minP, top_n_sigma: -1, xtc_probability: 0, xtc_threshold: 0.1, typical_p: 1 },
    ...{ repeat_last_n: -1, repeat_penalty: request.repetitionPenalty ?? 1 },
    ...{ presence_penalty: request.presencePenalty ?? 0, frequency_penalty: request.frequencyPenalty ?? 0 },
    ...{ dry_multiplier: 0, dry_base: 1.75, dry_allowed_length: 2, dry_penalty_last_n: -1, dry_sequence_breakers: [] },
    ...{ mirostat: 0, mirostat_tau: 5, mirostat_eta: 0.1, adaptive_target: -1, adaptive_decay: 0.9 },
    ...{ stop, n_keep: 0, n_discard: 0, ignore_eos: request.ignoreEos ?? false, logit_bias: [], min_keep: 0, lora: [] },
    ...{ samplers: ["penalties", "temperature", "top_k", "top_p", "min_p"], post_sampling_probs: false },
    ...more,
  };
}
