import { isDeepStrictEqual } from "node:util";
import { IdlmError } from "../errors.ts";
import { kindOf } from "../formats/files/json.ts";
import { SPACE } from "./alphabet.ts";

/** Spaces as SentencePiece of Llama 2 has them: one in front of each text, and U+2581 for all. */
export const sentencePieceNormalizer = {
  type: "Sequence",
  normalizers: [
    { type: "Prepend", prepend: SPACE },
    { type: "Replace", pattern: { String: " " }, content: SPACE },
  ],
};

/** Others may take any time (patterns) or memory (replacements of replacements), and no model that runs here has one. */
const known: readonly unknown[] = [null, undefined, { type: "NFC" }, sentencePieceNormalizer];

/** @throws IdlmError "unsupported" for a normalizer that no known model has. */
export function checkNormalizer(config: unknown, path: string): void {
  if (known.some((one) => isDeepStrictEqual(one, config))) return;
  const { type } = (config ?? {}) as { readonly type?: unknown };
  throw new IdlmError("unsupported", {
    path,
    feature: `the normalizer ${kindOf(type ?? config)}`,
    hint: "Known are none, NFC, and the spaces of Llama 2.",
  });
}
