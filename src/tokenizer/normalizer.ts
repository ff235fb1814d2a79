import { isDeepStrictEqual } from "node:util";
import { IdlmError } from "../errors.ts";
import { kindOf } from "../formats/files/json.ts";
import { SPACE } from "./alphabet.ts";

/** Llama 2's SentencePiece spaces: one before each text, and U+2581 for all spaces. */
export const sentencePieceNormalizer = {
  type: "Sequence",
  normalizers: [
    { type: "Prepend", prepend: SPACE },
    { type: "Replace", pattern: { String: " " }, content: SPACE },
  ],
};

/** The same without a space before each text. */
export const sentencePieceSpaces = { type: "Replace", pattern: { String: " " }, content: SPACE };

/** Whether a normalizer puts a space before each text. */
export function addsSpace(config: unknown): boolean {
  return isDeepStrictEqual(config, sentencePieceNormalizer);
}

/** Others are rejected: untrusted patterns and replacements may take any time or memory, and no supported model needs them. */
const known: readonly unknown[] = [null, undefined, { type: "NFC" }, sentencePieceNormalizer, sentencePieceSpaces];

/** @throws IdlmError "unsupported" for a normalizer that no supported model has. */
export function checkNormalizer(config: unknown, path: string): void {
  if (known.some((one) => isDeepStrictEqual(one, config))) return;
  const { type } = (config ?? {}) as { readonly type?: unknown };
  throw new IdlmError("unsupported", {
    path,
    feature: `the normalizer ${kindOf(type ?? config)}`,
    hint: "Supported are none, NFC, and the spaces of Llama 2.",
  });
}
