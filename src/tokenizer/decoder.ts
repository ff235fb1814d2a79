import { IdlmError } from "../errors.ts";
import { kindOf } from "../formats/files/json.ts";
import { SPACE } from "./alphabet.ts";

type Json = Readonly<Record<string, unknown>>;

/** Whether a step of a decoder does what decoding does anyway: read the alphabet, and join. */
function isUsual(step: Json, hasByteFallback: boolean): boolean {
  if (step.type === "Fuse") return true;
  if (!hasByteFallback) return step.type === "ByteLevel";
  const { String: pattern } = (step.pattern ?? {}) as Json;
  return step.type === "ByteFallback" || (step.type === "Replace" && pattern === SPACE && step.content === " ");
}

/**
 * Whether the `decoder` of a tokenizer.json takes a space from the beginning of a text; undefined if it does not say how
 * spaces are written, so that this follows from the normalizer. @throws IdlmError "unsupported" for steps that change texts in another way.
 */
export function stripsFirstSpace(config: unknown, hasByteFallback: boolean, path: string): boolean | undefined {
  if (config === undefined || config === null) return undefined;
  const { type, decoders } = config as Json;
  const steps: readonly unknown[] = type === "Sequence" && Array.isArray(decoders) ? decoders : [config];
  let strips: boolean | undefined;
  for (const step of steps) {
    const json = (step ?? {}) as Json;
    if (isUsual(json, hasByteFallback)) {
      if (json.type === "Replace") strips ??= false;
      continue;
    }
    if (json.type === "Strip" && json.content === " " && json.start === 1 && json.stop === 0) strips = true;
    else {
      const hint = "Supported are those of byte-level BPE and of Llama 2.";
      throw new IdlmError("unsupported", { path, feature: `the decoder ${kindOf(json.type ?? step)}`, hint });
    }
  }
  return strips;
}
