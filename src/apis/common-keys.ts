import { wrongKey } from "../engine/request/request-values.ts";
import type { GenerateRequest } from "../engine/types.ts";
import type { Body } from "./body.ts";

/** Limit of the API of OpenAI, and of those that follow it. */
const MAX_TOP_LOGPROBS = 20;

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

/** `seed` of the APIs in which a negative one stands for one that is not set. */
export function readSeedUnlessNegative(body: Body): number | undefined {
  const seed = body.number("seed");
  return seed === undefined || seed < 0 ? undefined : seed;
}
