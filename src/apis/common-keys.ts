import { samplingSettings } from "../compute/sampling/settings.ts";
import { numberIn, wrongKey } from "../engine/request/request-values.ts";
import type { GenerateRequest } from "../engine/types.ts";
import type { Body } from "./body.ts";

/** Limit of the API of OpenAI, and of those that follow it. */
const MAX_TOP_LOGPROBS = 20;
const MAX_SEED = 2 ** 63;
/** In place of 0, which the engine does not take. */
const MIN_TOP_P = 1e-30;

/** A limit of tokens. Larger ones than the engine takes become its largest one: neither is ever reached. */
export function readMaxTokens(body: Body, key: string): number | undefined {
  const limit = body.number(key);
  return limit !== undefined && Number.isInteger(limit) ? Math.min(limit, Number.MAX_SAFE_INTEGER) : limit;
}

/** `temperature`. Smaller ones than the engine takes, except 0, become its smallest one: the same tokens, except in ties. */
export function readTemperature(body: Body): number | undefined {
  const temperature = body.number("temperature");
  const { smallest } = samplingSettings.temperature;
  return temperature !== undefined && temperature > 0 && temperature < smallest ? smallest : temperature;
}

/** `top_p`. In these APIs it may be 0, for the most likely token alone. */
export function readTopP(body: Body): number | undefined {
  const topP = numberIn(body.at("top_p"), body.take("top_p"), 0, 1);
  return topP === 0 ? MIN_TOP_P : topP;
}

/** `stop`: a string, or several. The engine validates them. */
export function readStop(body: Body): GenerateRequest["stop"] {
  const stop = body.take("stop");
  return typeof stop === "string" ? [stop] : (stop as GenerateRequest["stop"]);
}

/** `top_logprobs`. @throws IdlmError "usage" if it is out of range. */
export function readTopLogprobs(body: Body): number | undefined {
  const top = body.number("top_logprobs");
  if (top === undefined || (Number.isInteger(top) && top >= 0 && top <= MAX_TOP_LOGPROBS)) return top;
  throw wrongKey("top_logprobs", `expected a whole number from 0 to ${MAX_TOP_LOGPROBS}, found ${top}`);
}

/** `top_k`: −1 is off, as 0 is, in vLLM, SGLang and llama.cpp. */
export function readTopK(body: Body): number | undefined {
  const topK = body.number("top_k");
  return topK === -1 ? 0 : topK;
}

/** `seed`: an integer of 64 bits; the engine's are 0 to 2^53 − 1. */
export function readSeed(body: Body): number | undefined {
  const seed = body.number("seed");
  if (seed === undefined) return undefined;
  if (!Number.isInteger(seed) || Math.abs(seed) > MAX_SEED) {
    throw wrongKey(body.at("seed"), `expected a whole number of 64 bits, found ${seed}`);
  }
  return seed >= 0 && Number.isSafeInteger(seed) ? seed : Number(BigInt.asUintN(53, BigInt(seed)));
}

/** `seed` of the APIs in which a negative one stands for one that is not set. */
export function readSeedUnlessNegative(body: Body): number | undefined {
  return (body.number("seed") ?? 0) < 0 ? undefined : readSeed(body);
}
