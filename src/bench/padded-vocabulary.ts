import { IdlmError } from "../errors.ts";
import { tokenTypes } from "../formats/gguf/gguf-vocabulary.ts";
import type { GgufValueToWrite } from "../formats/gguf/gguf-writer.ts";
import { characterOfByte } from "../tokenizer/byte-level.ts";

const END = "<|im_end|>";
const CONTROLS = ["<|endoftext|>", "<|im_start|>", END] as const;
/** Enough for text to have tokens of several bytes; Ġ is the space in byte-level BPE. */
const MERGES = ["Ġ t", "h e", "i n", "e r", "Ġ a", "Ġt he", "o n", "r e"] as const;
const CHAT_TEMPLATE =
  "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

/**
 * Metadata of a byte-level vocabulary of `size` tokens: all bytes, a few merges, ChatML's three control tokens, and unused
 * tokens. It can encode any text, and llama.cpp can read it.
 * @throws IdlmError "usage" if `size` is too small.
 */
export function paddedVocabulary(size: number, pre: string): [string, GgufValueToWrite][] {
  const bytes = Array.from({ length: 256 }, (_, byte) => characterOfByte(byte));
  const merged = MERGES.map((merge) => merge.replace(" ", ""));
  const tokens = [...bytes, ...merged];
  const types: number[] = tokens.map(() => tokenTypes.normal);
  for (const control of CONTROLS) {
    tokens.push(control);
    types.push(tokenTypes.control);
  }
  if (tokens.length > size) {
    throw new IdlmError("usage", {
      problem: `a vocabulary of ${size} tokens is too small`,
      hint: `A byte-level vocabulary needs at least ${tokens.length}.`,
    });
  }
  const eos = tokens.indexOf(END);
  const bos = tokens.indexOf(CONTROLS[0]);
  for (let id = tokens.length; id < size; id++) {
    tokens.push(`<|unused_${id}|>`);
    types.push(tokenTypes.unused);
  }
  return [
    ["tokenizer.ggml.model", "gpt2"],
    ["tokenizer.ggml.pre", pre],
    ["tokenizer.ggml.tokens", tokens],
    ["tokenizer.ggml.token_type", Int32Array.from(types)],
    ["tokenizer.ggml.merges", [...MERGES]],
    ["tokenizer.ggml.bos_token_id", bos],
    ["tokenizer.ggml.eos_token_id", eos],
    ["tokenizer.ggml.add_bos_token", false],
    ["tokenizer.chat_template", CHAT_TEMPLATE],
  ];
}
