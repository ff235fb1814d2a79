import type { FullBatch } from "../../compute/gradients/full-step.ts";
import type { GatedBatch } from "../../compute/gradients/gated-step.ts";
import { kindOf, readJsonObject } from "../../formats/files/json.ts";
import { malformed } from "../../formats/files/malformed.ts";

/** Enough for a sequence of 65,536 tokens in two arrays. */
const MAX_BATCH_BYTES = 8 * 2 ** 20;
const MAX_TOKENS = 1 << 16;

/** One sequence and its training objective. */
export type TrainingBatchFile =
  | { readonly objective: "gated"; readonly batch: GatedBatch }
  | { readonly objective: "full"; readonly batch: FullBatch };

/**
 * Reads `objective`, `tokens`, for "gated" `m` and `anchors`, for "full" `prompt_length`, `block`, `alpha` and
 * `mask_token_id`; other keys are ignored. Throws the errors of readJsonObject.
 */
export function readTrainingBatchFile(path: string): TrainingBatchFile {
  const fields = new Map(
    Object.entries(readJsonObject(path, { maxBytes: MAX_BATCH_BYTES }, "--batch needs a JSON file.")),
  );
  const integer = (field: string, value: unknown, min: number, max: number): number => {
    if (typeof value === "number" && Number.isInteger(value) && value >= min && value <= max) return value;
    throw malformed(path, field, `a whole number from ${min} to ${max}`, kindOf(value));
  };
  const integers = (field: string, min: number, max: number, minLength: number): Int32Array => {
    const value: unknown = fields.get(field);
    if (!Array.isArray(value)) throw malformed(path, field, "an array of numbers", kindOf(value));
    if (value.length < minLength || value.length > MAX_TOKENS) {
      throw malformed(path, field, `${minLength} to ${MAX_TOKENS} numbers`, String(value.length));
    }
    return Int32Array.from(value, (entry: unknown, i) => integer(`${field}[${i}]`, entry, min, max));
  };
  const objective = fields.get("objective");
  if (objective !== "gated" && objective !== "full") {
    throw malformed(path, "objective", '"gated" or "full"', kindOf(objective));
  }
  // The vocabulary is checked once the model is known.
  const anyToken = 2 ** 31 - 1;
  const tokens = integers("tokens", 0, anyToken, 2);
  if (objective === "gated") {
    const nMasks = integer("m", fields.get("m"), 1, MAX_TOKENS);
    const anchors = integers("anchors", 0, tokens.length - 2, 1);
    return { objective, batch: { sequences: [{ key: 0, tokens, anchors }], nMasks } };
  }
  const alpha = fields.get("alpha");
  if (alpha !== "auto" && !(typeof alpha === "number" && alpha >= 0)) {
    throw malformed(path, "alpha", 'a number from 0, or "auto"', kindOf(alpha));
  }
  const promptLength = integer("prompt_length", fields.get("prompt_length"), 0, tokens.length - 2);
  return {
    objective,
    batch: {
      sequences: [{ tokens, isResponse: Uint8Array.from(tokens, (_, i) => (i < promptLength ? 0 : 1)) }],
      noise: {
        block: integer("block", fields.get("block"), 1, MAX_TOKENS),
        maskToken: integer("mask_token_id", fields.get("mask_token_id"), 0, anyToken),
      },
      alpha,
    },
  };
}
