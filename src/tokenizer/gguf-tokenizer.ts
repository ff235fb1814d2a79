import { IdlmError } from "../errors.ts";
import type { GgufValue } from "../formats/gguf/gguf.ts";
import {
  BYTE_LEVEL_BPE,
  type GgufVocabulary,
  readGgufVocabulary,
  SENTENCE_PIECE,
  tokenTypes,
} from "../formats/gguf/gguf-vocabulary.ts";
import { quote } from "../formats/files/malformed.ts";
import type { AddedToken, TokenizerJson } from "../formats/files/tokenizer-json.ts";
import { sentencePieceNormalizer, sentencePieceSpaces } from "./normalizer.ts";
import { endOfText } from "./end-of-text.ts";
import { patterns } from "./pre-tokenizer.ts";
import { SentencePieceMerger } from "./sentence-piece.ts";
import { TokenPartition } from "./token-partition.ts";
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
const split = (...patternsInTurn: readonly string[]) => ({
  type: "Sequence",
  pretokenizers: [
    ...patternsInTurn.map((pattern) => ({
      type: "Split",
      pattern: { Regex: pattern },
      behavior: "Isolated",
      invert: false,
    })),
    byteLevel,
  ],
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
  // Of files that do not say, as in llama.cpp.
  default: {
    pre_tokenizer: split(
      String.raw`[\p{P}\$\+<=>\^~\|]+`,
      String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)`,
      String.raw`\p{N}+`,
      "[0-9][0-9][0-9]",
    ),
  },
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
 * The tokenizer in a GGUF file's metadata; undefined if the file has none.
 * @throws IdlmError "file-malformed", "unsupported" naming the key.
 */
export function tokenizerFromGguf(metadata: ReadonlyMap<string, GgufValue>, path: string): Tokenizer | undefined {
  const vocabulary = readGgufVocabulary(metadata, path);
  return vocabulary && tokenizerOfVocabulary(vocabulary, path);
}

/** The tokenizer of a GGUF file's vocabulary, converted to a tokenizer.json. @throws as `tokenizerFromGguf`. */
export function tokenizerOfVocabulary(vocabulary: GgufVocabulary, path: string): Tokenizer {
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
  const merges = vocabulary.model === SENTENCE_PIECE ? [] : vocabulary.merges;
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
    decoder: null,
    model: { type: "BPE", vocab, merges, ...kind.model },
  };
  const addsBos = vocabulary.addsBos ?? kind.addsBos ?? false;
  const facts = { bosId: ids.get("bos"), addsBos, eosIds: end.ids, finder: new TokenPartition(added) };
  if (vocabulary.model !== SENTENCE_PIECE) return new Tokenizer(json, facts, path);
  const unknownId = ids.get("unknown") ?? types.indexOf(tokenTypes.unknown);
  const scored = { tokens, scores: vocabulary.scores ?? [], unknownId: unknownId < 0 ? undefined : unknownId };
  return new Tokenizer(json, { ...facts, merger: new SentencePieceMerger(scored) }, path);
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
