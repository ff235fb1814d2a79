import { shown, wrongKey } from "../engine/request/request-values.ts";
import type { Body } from "./body.ts";

type IsNeutral = (value: unknown) => boolean;

const is =
  (...neutral: readonly unknown[]): IsNeutral =>
  (value) =>
    neutral.includes(value);
const isEmpty: IsNeutral = (value) => typeof value === "object" && value !== null && Object.keys(value).length === 0;
const never: IsNeutral = () => false;

/**
 * Keys of the OpenAI API and of other servers that would change the text and are not supported, with what has no effect.
 * Unknown keys beside these are ignored, so a key that changes the text has to stand here.
 */
const unsupported: Readonly<Record<string, IsNeutral>> = {
  // OpenAI
  ...{ functions: isEmpty, function_call: is("none", "auto"), audio: never, web_search_options: never },
  modalities: (value) => Array.isArray(value) && value.every((one) => one === "text"),
  verbosity: is("medium"),
  // vLLM, SGLang
  ...{ use_beam_search: is(false), length_penalty: is(1), min_tokens: is(0) },
  ...{ bad_words: isEmpty, allowed_token_ids: never, truncate_prompt_tokens: never },
  ...{ include_stop_str_in_output: is(false), skip_special_tokens: is(true), no_stop_trim: is(false) },
  ...{ chat_template: never, documents: isEmpty, add_generation_prompt: is(true), add_special_tokens: never },
  ...{ custom_logit_processor: never, logits_processors: isEmpty, lora_path: never, thinking_token_budget: never },
  // llama.cpp
  ...{ typical_p: is(1), tfs_z: is(1), mirostat: is(0), top_n_sigma: is(-1, 0), xtc_probability: is(0) },
  ...{ dry_multiplier: is(0), dynatemp_range: is(0), n_indent: is(0), t_max_predict_ms: is(0, -1), lora: isEmpty },
};

/** @throws IdlmError "usage" for a key whose value would change the text and is not supported. */
export function refuseUnsupported(body: Body, more: Readonly<Record<string, IsNeutral>> = {}): void {
  for (const [key, isNeutral] of Object.entries({ ...unsupported, ...more })) {
    const value = body.take(key);
    if (value !== undefined && !isNeutral(value)) {
      throw wrongKey(body.at(key), `not supported, found ${shown(value)}`, "Leave it out.");
    }
  }
}
