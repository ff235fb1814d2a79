import { shown, wrongKey } from "../../engine/request/request-values.ts";
import type { TextTokenizer } from "../../engine/types.ts";
import { Body } from "../body.ts";

/** A prompt: token ids and texts in a row. */
export type PromptPieces = readonly (number | string)[];

const MAX_PROMPTS = 128;

/**
 * A prompt, or a list of prompts: a text, token ids, both mixed, or {prompt_string}. `isList`: the answer is a list, too.
 * @throws IdlmError "usage" with the path.
 */
export function readPrompts(value: unknown): { readonly prompts: readonly PromptPieces[]; readonly isList: boolean } {
  if (!isListOfPrompts(value)) return { prompts: [piecesOf(value, "prompt")], isList: false };
  if (value.length > MAX_PROMPTS) {
    throw wrongKey("prompt", `expected at most ${MAX_PROMPTS} prompts, found ${value.length}`);
  }
  return { prompts: value.map((one, i) => piecesOf(one, `prompt[${i}]`)), isList: true };
}

/** A list of texts alone, or of anything that is no piece. Texts among ids are pieces of one prompt. */
function isListOfPrompts(value: unknown): value is readonly unknown[] {
  if (!Array.isArray(value) || value.length === 0) return false;
  return value.every((one) => typeof one === "string") || value.some((one) => typeof one === "object");
}

function piecesOf(value: unknown, path: string): PromptPieces {
  if (typeof value === "string") return [value];
  if (Array.isArray(value) && value.every((one) => typeof one === "string" || typeof one === "number")) return value;
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw wrongKey(path, `expected a text, token ids, or a list of them, found ${shown(value)}`);
  }
  const prompt = new Body(value, path);
  prompt.only("multimodal_data", (data) => Array.isArray(data) && data.length === 0, "The models read text only.");
  const text = prompt.string("prompt_string");
  if (text === undefined) throw wrongKey(prompt.at("prompt_string"), "expected a string");
  return [text];
}

/** Special tokens in texts are parsed; a text at the beginning gets the model's BOS token. */
export function encodePieces(pieces: PromptPieces, tokenizer: TextTokenizer | undefined): readonly number[] {
  return pieces.flatMap((piece, i) => {
    if (typeof piece === "number") return [piece];
    if (tokenizer === undefined) throw wrongKey("prompt", "the model has no tokenizer", "Give token ids.");
    return i === 0 ? tokenizer.encodePrompt(piece) : tokenizer.encode(piece, { special: true });
  });
}
