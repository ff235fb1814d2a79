import { wrongKey } from "../../engine/request/request-values.ts";
import type { GenerateRequest } from "../../engine/types.ts";
import { Body } from "../body.ts";
import {
  readMaxTokens,
  readSeedUnlessNegative,
  readStop,
  readTemperature,
  readTopK,
  readTopP,
} from "../common-keys.ts";

/** Keys of `options` that do not change the text. */
const withoutEffect = [
  ...["num_keep", "num_batch", "num_gpu", "main_gpu", "low_vram", "f16_kv", "logits_all", "vocab_only", "use_mmap"],
  ...["use_mlock", "embedding_only", "num_thread", "numa", "mirostat_tau", "mirostat_eta", "draft_num_predict"],
];

/** Default of the API. */
const TEMPERATURE = 0.8;

export interface OllamaOptions {
  readonly settings: GenerateRequest;
  /** `num_ctx`: positions of prompt and completion. */
  readonly context: number | undefined;
}

/** Reads `options`. @throws IdlmError "usage" with the key; ranges are validated by the engine. */
export function readOptions(body: Body): OllamaOptions {
  const options = new Body(body.take("options") ?? {}, "options", body);
  options.ignore(...withoutEffect);
  const neutral = (key: string, off: number) => options.only(key, (given) => given === off, `Set it to ${off}.`);
  neutral("mirostat", 0);
  neutral("typical_p", 1);
  neutral("tfs_z", 1);
  const nPredict = readMaxTokens(options, "num_predict") ?? 0;
  const settings = {
    ...readPenalties(options),
    temperature: readTemperature(options) ?? TEMPERATURE,
    topK: readTopK(options),
    topP: readTopP(options),
    minP: options.number("min_p"),
    seed: readSeedUnlessNegative(options),
    // Negative and zero limits stand for none.
    maxTokens: nPredict > 0 ? nPredict : undefined,
    stop: readStop(options),
  };
  return { settings, context: options.number("num_ctx") };
}

/** Penalties here look at all tokens: a window (`repeat_last_n`) changes the text where one is set. */
function readPenalties(options: Body): GenerateRequest {
  const repetitionPenalty = options.number("repeat_penalty");
  const presencePenalty = options.number("presence_penalty");
  const frequencyPenalty = options.number("frequency_penalty");
  const [window, newlines] = [options.number("repeat_last_n"), options.boolean("penalize_newline")];
  const isNeutral = (repetitionPenalty ?? 1) === 1 && (presencePenalty ?? 0) === 0 && (frequencyPenalty ?? 0) === 0;
  if (isNeutral || window === 0) return {};
  if (window !== undefined && window >= 0) {
    throw wrongKey("options.repeat_last_n", "penalties for the last tokens only are not supported", "Set it to -1.");
  }
  if (newlines === false) throw wrongKey("options.penalize_newline", "not supported", "Leave it out.");
  return { repetitionPenalty, presencePenalty, frequencyPenalty };
}
