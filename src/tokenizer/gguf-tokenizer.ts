import { IdlmError } from "../errors.ts";
import type { GgufValue } from "../formats/gguf.ts";
import { patterns } from "./pre-tokenizer.ts";
import { Tokenizer } from "./tokenizer.ts";
import type { AddedToken, TokenizerJson } from "./tokenizer-json.ts";

/** Token types of GGUF (`llama_token_type`). */
const NORMAL = 1;
const CONTROL = 3;
const USER_DEFINED = 4;
const UNUSED = 5;

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
  const model = metadata.get("tokenizer.ggml.model");
  if (model === undefined || model === "none" || model === "no_vocab") return undefined;
  if (model !== "gpt2") {
    throw new IdlmError("unsupported", {
      path,
      feature: `the tokeniser ${JSON.stringify(model)}`,
      hint: "Byte-level BPE (gpt2) is.",
    });
  }
  const wrong = (field: string, expected: string, found: string | number) =>
    new IdlmError("file-malformed", { path, field, expected, found });
  const pre = metadata.get("tokenizer.ggml.pre") ?? "default";
  const kind = typeof pre === "string" && Object.hasOwn(kinds, pre) ? kinds[pre] : undefined;
  if (kind === undefined) {
    const hint = `Known are ${Object.keys(kinds).join(", ")}.`;
    throw new IdlmError("unsupported", { path, feature: `the pre-tokeniser ${JSON.stringify(pre)}`, hint });
  }
  const tokens = strings(metadata, "tokenizer.ggml.tokens", path);
  const merges = strings(metadata, "tokenizer.ggml.merges", path);
  const types = metadata.get("tokenizer.ggml.token_type");
  if (types !== undefined && (!ArrayBuffer.isView(types) || (types as Int32Array).length !== tokens.length)) {
    const found = ArrayBuffer.isView(types) ? `${(types as Int32Array).length}` : typeof types;
    throw wrong("tokenizer.ggml.token_type", `${tokens.length} numbers`, found);
  }
  const vocab: Record<string, number> = Object.create(null) as Record<string, number>;
  const added: AddedToken[] = [];
  tokens.forEach((token, id) => {
    const type = types === undefined ? NORMAL : Number((types as Int32Array)[id]);
    if (token === "") throw wrong(`tokenizer.ggml.tokens[${id}]`, "a token", "nothing");
    if (token in vocab) throw wrong(`tokenizer.ggml.tokens[${id}]`, "a token of its own", JSON.stringify(token));
    vocab[token] = id;
    if (type === CONTROL || type === USER_DEFINED) added.push({ id, content: token, special: type === CONTROL });
    else if (type < 1 || type > 6) throw wrong(`tokenizer.ggml.token_type[${id}]`, "a type from 1 to 6", type);
    else if (type === UNUSED) delete vocab[token];
  });
  const id = (key: string): number | undefined => {
    const value = metadata.get(`tokenizer.ggml.${key}`);
    if (value === undefined) return undefined;
    if (typeof value !== "number" || !Number.isInteger(value) || value < 0 || value >= tokens.length) {
      throw wrong(`tokenizer.ggml.${key}`, `an id below ${tokens.length}`, String(value));
    }
    return value;
  };
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
  const named = ["eos_token_id", "eot_token_id", "eom_token_id"].map(id);
  const byText = added.filter(({ special, content }) => special && endTexts.includes(content)).map((token) => token.id);
  const eosIds = [...new Set([...named, ...byText].filter((value) => value !== undefined))];
  const addsBos = metadata.get("tokenizer.ggml.add_bos_token") === true;
  return new Tokenizer(json, { bosId: id("bos_token_id"), addsBos, eosIds }, path);
}

function strings(metadata: ReadonlyMap<string, GgufValue>, key: string, path: string): readonly string[] {
  const value = metadata.get(key);
  if (!Array.isArray(value) || !value.every((item) => typeof item === "string")) {
    const found = value === undefined ? "nothing" : "another";
    throw new IdlmError("file-malformed", { path, field: key, expected: "an array of strings", found });
  }
  return value;
}
