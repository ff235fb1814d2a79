import { IdlmError } from "../errors.ts";
import type { GgufValue } from "../formats/gguf/gguf.ts";
import {
  BYTE_LEVEL_BPE,
  type GgufVocabulary,
  readGgufVocabulary,
  SENTENCE_PIECE,
  tokenTypes,
} from "../formats/gguf/gguf-vocabulary.ts";
import { malformed, quote } from "../formats/files/malformed.ts";
import { type AddedToken, type TokenizerJson, validateTokenizerJson } from "../formats/files/tokenizer-json.ts";
import { sentencePieceNormalizer, sentencePieceSpaces } from "./normalizer.ts";
import { endOfText } from "./end-of-text.ts";
import { patterns } from "./pre-tokenizer.ts";
import { Tokenizer } from "./tokenizer.ts";

/** The parts of a tokenizer.json that follow from the pre-tokenizer's name. */
interface Kind {
  readonly pre_tokenizer: unknown;
  readonly normalizer?: unknown;
  readonly model?: Readonly<Record<string, unknown>>;
  /** Default, if the file does not say. */
  readonly addsBos?: boolean;
}

const byteLevel = { type: "ByteLevel", add_prefix_space: false, use_regex: false };
const split = (pattern: string) => ({
  type: "Sequence",
  pretokenizers: [{ type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false }, byteLevel],
});

/** Other names of a kind in `tokenizer.ggml.pre` (llama.cpp, its file llama-vocab.cpp). */
const aliases: Readonly<Record<string, readonly string[]>> = {
  "gpt-2": [
    ...["phi-2", "jina-es", "jina-de", "gigachat", "jina-v2-es", "jina-v2-de", "a.x-4.0", "mellum", "modern-bert"],
    ...["jina-v1-en", "jina-v2-code", "roberta-bpe", "exaone4"],
  ],
  "llama-bpe": ["llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "jina-v5-nano"],
  qwen2: ["deepseek-r1-qwen", "kormo", "f2llmv2", "megrez"],
};
const kindNames = new Map(Object.entries(aliases).flatMap(([kind, names]) => names.map((name) => [name, kind])));

/** Byte-level BPE, by the name in `tokenizer.ggml.pre`. */
export const byteLevelKinds: Readonly<Record<string, Kind>> = {
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
  // As in llama.cpp, BOS is added by default, because old files do not say.
  "llama-bpe": { pre_tokenizer: split(patterns.llama3), model: { ignore_merges: true }, addsBos: true },
  qwen2: { pre_tokenizer: split(patterns.qwen2), normalizer: { type: "NFC" } },
};

const llama2: Kind = {
  pre_tokenizer: null,
  normalizer: sentencePieceNormalizer,
  model: { byte_fallback: true, fuse_unk: true, unk_token: "<unk>" },
  addsBos: true,
};

/**
 * The tokenizer in a GGUF file's metadata, converted to a tokenizer.json; undefined if the file has none. `vocabulary`: that
 * of the metadata, if it has been read.
 * @throws IdlmError "file-malformed", "unsupported" naming the key.
 */
export function tokenizerFromGguf(
  metadata: ReadonlyMap<string, GgufValue>,
  path: string,
  vocabulary: GgufVocabulary | undefined = readGgufVocabulary(metadata, path),
): Tokenizer | undefined {
  if (vocabulary === undefined) return undefined;
  const { tokens, ids } = vocabulary;
  const end = endOfText(vocabulary);
  const types = Array.from(vocabulary.types, (type, id) => end.types.get(id) ?? type);
  const kind = kindOf(vocabulary, path);
  // Without a prototype: a token may be called "__proto__".
  const vocab: Record<string, number> = Object.create(null) as Record<string, number>;
  const added: AddedToken[] = [];
  tokens.forEach((token, id) => {
    const type = types[id];
    if (type !== tokenTypes.unused) vocab[token] = id;
    if (type === tokenTypes.control || type === tokenTypes.unknown || type === tokenTypes.userDefined) {
      added.push({ id, content: token, special: type !== tokenTypes.userDefined });
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
    model: { type: "BPE", vocab, merges: mergesOf(vocabulary, path), ...kind.model },
  };
  // The merges of byte-level BPE are those of the vocabulary, which has been checked.
  if (vocabulary.model === SENTENCE_PIECE) validateTokenizerJson(json, path);
  const addsBos = vocabulary.addsBos ?? kind.addsBos ?? false;
  return new Tokenizer(json, { bosId: ids.get("bos"), addsBos, eosIds: end.ids }, path);
}

/** @throws IdlmError "unsupported" if `tokenizerFromGguf` does not support the tokenizer type. */
export function checkGgufTokenizer(vocabulary: GgufVocabulary, path: string): void {
  kindOf(vocabulary, path);
}

function kindOf({ model, pre = "default", addsSpacePrefix }: GgufVocabulary, path: string): Kind {
  if (model === SENTENCE_PIECE) {
    return addsSpacePrefix === false ? { ...llama2, normalizer: sentencePieceSpaces } : llama2;
  }
  if (model !== BYTE_LEVEL_BPE) {
    throw new IdlmError("unsupported", {
      path,
      feature: `the tokenizer ${quote(model)}`,
      hint: "Supported are byte-level BPE (gpt2) and SentencePiece (llama).",
    });
  }
  const name = kindNames.get(pre) ?? pre;
  const kind = Object.hasOwn(byteLevelKinds, name) ? byteLevelKinds[name] : undefined;
  if (kind !== undefined) return kind;
  const hint = `Supported are ${[...Object.keys(byteLevelKinds), ...kindNames.keys()].join(", ")}.`;
  throw new IdlmError("unsupported", { path, feature: `the pre-tokenizer ${quote(pre)}`, hint });
}

/** Total characters of a SentencePiece vocabulary, each a possible split point. Llama 2's has 200,000. */
const MAX_CHARACTERS = 1 << 23;

/**
 * A SentencePiece vocabulary has no merges: any two tokens whose concatenation is a token may be merged, highest score
 * first. As in the conversion by transformers, merges to the same token are ordered by the ids of their parts.
 */
function mergesOf(
  { model, tokens, types, scores, merges }: GgufVocabulary,
  path: string,
): TokenizerJson["model"]["merges"] {
  if (model !== SENTENCE_PIECE) return merges;
  const nCharacters = tokens.reduce((sum, token) => sum + token.length, 0);
  if (nCharacters > MAX_CHARACTERS) {
    throw malformed(path, "tokenizer.ggml.tokens", `at most ${MAX_CHARACTERS} characters in total`, nCharacters);
  }
  const ids = new Map(tokens.map((token, id) => [token, id]));
  const found: { readonly score: number; readonly pair: readonly [string, string] }[] = [];
  tokens.forEach((token, id) => {
    if (types[id] !== tokenTypes.normal) return;
    const cuts: { readonly pair: readonly [string, string]; readonly first: number; readonly second: number }[] = [];
    for (let cut = 1; cut < token.length; cut++) {
      const pair = [token.slice(0, cut), token.slice(cut)] as const;
      const [first, second] = [ids.get(pair[0]), ids.get(pair[1])];
      if (first !== undefined && second !== undefined) cuts.push({ pair, first, second });
    }
    cuts.sort((a, b) => a.first - b.first || a.second - b.second);
    for (const { pair } of cuts) found.push({ score: scores?.[id] ?? 0, pair });
  });
  return found.sort((a, b) => b.score - a.score).map(({ pair }) => pair);
}
