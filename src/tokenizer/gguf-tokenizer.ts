import { IdlmError } from "../errors.ts";
import type { GgufValue } from "../formats/gguf.ts";
import { BYTE_LEVEL_BPE, readGgufVocabulary, tokenTypes } from "../formats/gguf-vocabulary.ts";
import { quote } from "../formats/malformed.ts";
import type { AddedToken, TokenizerJson } from "../formats/tokenizer-json.ts";
import { patterns } from "./pre-tokenizer.ts";
import { Tokenizer } from "./tokenizer.ts";

interface PreTokenizerKind {
  readonly pre_tokenizer: unknown;
  readonly normalizer?: unknown;
  readonly ignore_merges?: boolean;
}

const byteLevel = { type: "ByteLevel", add_prefix_space: false, use_regex: false };
const split = (pattern: string) => ({
  type: "Sequence",
  pretokenizers: [{ type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false }, byteLevel],
});

/** By the name in `tokenizer.ggml.pre`. */
const kinds: Readonly<Record<string, PreTokenizerKind>> = {
  default: { pre_tokenizer: { ...byteLevel, use_regex: true } },
  "gpt-2": { pre_tokenizer: { ...byteLevel, use_regex: true } },
  smollm: {
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [
        { type: "Digits", individual_digits: true },
        { ...byteLevel, use_regex: true },
      ],
    },
  },
  "llama-bpe": { pre_tokenizer: split(patterns.llama3), ignore_merges: true },
  qwen2: { pre_tokenizer: split(patterns.qwen2), normalizer: { type: "NFC" } },
};

/** Texts of tokens that end a turn, where the metadata names none beside eos. */
const endTexts: readonly string[] = ["<|im_end|>", "<|eot_id|>", "<|endoftext|>", "<|end_of_text|>", "<|eom_id|>"];

/**
 * The tokenizer in a GGUF's metadata, rebuilt as a tokenizer.json; undefined where the file has none.
 * @throws IdlmError "file-malformed", "unsupported" naming the key.
 */
export function tokenizerFromGguf(metadata: ReadonlyMap<string, GgufValue>, path: string): Tokenizer | undefined {
  const vocabulary = readGgufVocabulary(metadata, path);
  if (vocabulary === undefined) return undefined;
  const { model, pre = "default", tokens, types, merges, ids, addsBos } = vocabulary;
  if (model !== BYTE_LEVEL_BPE) {
    throw new IdlmError("unsupported", {
      path,
      feature: `the tokeniser ${quote(model)}`,
      hint: "Byte-level BPE (gpt2) is.",
    });
  }
  const kind = Object.hasOwn(kinds, pre) ? kinds[pre] : undefined;
  if (kind === undefined) {
    const hint = `Known are ${Object.keys(kinds).join(", ")}.`;
    throw new IdlmError("unsupported", { path, feature: `the pre-tokeniser ${quote(pre)}`, hint });
  }
  // Without a prototype: a token may be called "__proto__".
  const vocab: Record<string, number> = Object.create(null) as Record<string, number>;
  const added: AddedToken[] = [];
  tokens.forEach((token, id) => {
    const type = types[id];
    if (type !== tokenTypes.unused) vocab[token] = id;
    if (type === tokenTypes.control || type === tokenTypes.userDefined) {
      added.push({ id, content: token, special: type === tokenTypes.control });
    }
  });
  const json: TokenizerJson = {
    version: "1.0",
    added_tokens: added.map((token) => ({
      ...token,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
    })),
    normalizer: kind.normalizer ?? null,
    pre_tokenizer: kind.pre_tokenizer,
    post_processor: null,
    decoder: { type: "ByteLevel" },
    model: { type: "BPE", vocab, merges, ignore_merges: kind.ignore_merges ?? false },
  };
  const named = ["eos", "eot", "eom"].map((name) => ids.get(name));
  const byText = added.filter(({ special, content }) => special && endTexts.includes(content)).map((token) => token.id);
  const eosIds = [...new Set([...named, ...byText].filter((value) => value !== undefined))];
  return new Tokenizer(json, { bosId: ids.get("bos"), addsBos, eosIds }, path);
}
