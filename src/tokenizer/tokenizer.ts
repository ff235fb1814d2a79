import { Tokenizer as Library } from "@huggingface/tokenizers";
import { IdlmError } from "../errors.ts";
import { kindOf, requireObject } from "../formats/files/json.ts";
import { quote } from "../formats/files/malformed.ts";
import type { TokenizerJson } from "../formats/files/tokenizer-json.ts";
import { AddedTokens, type TokenFinder } from "./added-tokens.ts";
import { type Alphabet, byteLevel, characters, sentencePiece } from "./alphabet.ts";
import { stripsFirstSpace } from "./decoder.ts";
import { LONG_PIECE, LongPieceMerger } from "./long-pieces.ts";
import { addsSpace, checkNormalizer } from "./normalizer.ts";
import { type PreTokenizer, preTokenizerOf, usesByteLevel } from "./pre-tokenizer.ts";
import type { SentencePieceMerger } from "./sentence-piece.ts";
import { createStreamDecoder, type StreamDecoder } from "./stream-decoder.ts";

/** Settings of a tokenizer from files other than tokenizer.json. */
export interface TokenizerFacts {
  readonly bosId?: number | undefined;
  /** Whether bosId is added before raw text. */
  readonly addsBos?: boolean | undefined;
  /** End-of-sequence ids. */
  readonly eosIds: readonly number[];
  /** Merges in place of the BPE of the tokenizer.json. */
  readonly merger?: SentencePieceMerger | undefined;
  /** Finds the added tokens. Default: as `tokenizers` does. */
  readonly finder?: TokenFinder;
}

const encoder = new TextEncoder();

/**
 * BPE tokenizer: byte-level, with byte fallback, or of characters. Merging and normalising are done by `@huggingface/tokenizers`,
 * splitting into pieces by `PreTokenizer`.
 */
export class Tokenizer {
  readonly vocabSize: number;
  readonly bosId: number | undefined;
  readonly addsBos: boolean;
  readonly eosIds: readonly number[];
  readonly #library: Library;
  readonly #alphabet: Alphabet;
  readonly #hasFirstSpace: boolean;
  readonly #split: PreTokenizer;
  readonly #model: TokenizerJson["model"];
  readonly #sentencePiece: SentencePieceMerger | undefined;
  #merger: LongPieceMerger | undefined;
  /** Tokens of the vocabulary by id. */
  readonly #tokens: string[] = [];
  /** Bytes of tokens by id, once they are needed; of added tokens from the start. */
  readonly #bytes: Uint8Array[] = [];
  readonly #special = new Map<number, string>();
  /** Added tokens that are looked for in texts as they are, and those in normalised ones. */
  readonly #added: TokenFinder;
  readonly #normalised: AddedTokens;
  readonly #ids = new Map<string, number>();

  /**
   * `json`: checked by `validateTokenizerJson`. @throws IdlmError "file-malformed", "unsupported" naming the field of
   * `path`.
   */
  constructor(json: TokenizerJson, facts: TokenizerFacts, path: string) {
    const { split, alphabet, hasFirstSpace } = checkTokenizerJson(json, path);
    this.#split = split;
    this.#alphabet = alphabet;
    this.#hasFirstSpace = hasFirstSpace;
    this.#model = json.model;
    try {
      // Only the parts that have been checked: the file is untrusted.
      const unused = { added_tokens: [], pre_tokenizer: null, post_processor: null, decoder: null };
      this.#library = new Library({ ...unused, normalizer: json.normalizer ?? null, model: json.model }, {});
    } catch (error) {
      const found = quote(error instanceof Error ? error.message : String(error));
      throw new IdlmError("file-malformed", { path, field: "tokenizer", expected: "a BPE tokenizer", found }, error);
    }
    for (const [token, id] of Object.entries(json.model.vocab)) this.#tokens[id] = token;
    for (const { id, content, special } of json.added_tokens) {
      this.#bytes[id] = encoder.encode(content);
      this.#ids.set(content, id);
      if (special) this.#special.set(id, content);
    }
    const tokens = json.added_tokens;
    this.#added = facts.finder ?? new AddedTokens(tokens.filter(({ normalized }) => normalized !== true));
    this.#normalised = new AddedTokens(
      tokens.filter(({ normalized }) => normalized === true),
      ({ content }) => this.#normalise(content),
    );
    this.vocabSize = Math.max(this.#tokens.length, this.#bytes.length);
    this.bosId = facts.bosId;
    this.addsBos = facts.addsBos ?? false;
    this.eosIds = facts.eosIds;
    this.#sentencePiece = facts.merger;
  }

  /** The strings of special tokens. */
  get specialTokens(): readonly string[] {
    return [...this.#special.values()];
  }

  isSpecial(id: number): boolean {
    return this.#special.has(id);
  }

  isEnd(id: number): boolean {
    return this.eosIds.includes(id);
  }

  /** The id of a special or added token. */
  idOf(content: string): number | undefined {
    return this.#ids.get(content);
  }

  /**
   * Token ids of a text, without BOS. `special`: recognise special tokens in the text (default: they are plain text).
   * `restore` turns what is left between tokens into the text to encode. Lone surrogates become U+FFFD.
   */
  encode(
    text: string,
    {
      special = false,
      restore = (part) => part,
    }: { readonly special?: boolean; readonly restore?: (part: string) => string } = {},
  ): number[] {
    const ids: number[] = [];
    for (const segment of this.#added.split(text, special)) {
      if (typeof segment === "number") ids.push(segment);
      else if (this.#normalised.isEmpty) this.#encodePlain(this.#normalise(restore(segment)), ids);
      else {
        for (const part of this.#normalised.split(this.#normalise(segment), special)) {
          if (typeof part === "number") ids.push(part);
          else this.#encodePlain(restore(part), ids);
        }
      }
    }
    return ids;
  }

  #normalise(text: string): string {
    const wellFormed = text.toWellFormed();
    return this.#library.normalizer?.normalize(wellFormed) ?? wellFormed;
  }

  /** `normalised`: text without added tokens. */
  #encodePlain(normalised: string, ids: number[]): void {
    if (this.#sentencePiece !== undefined) {
      for (const id of this.#sentencePiece.encode(normalised)) ids.push(id);
      return;
    }
    const model = this.#library.model;
    if (model === null) return;
    // A byte without a token in the vocabulary is dropped, as in the reference tokenizers.
    const idsOf = (tokens: readonly string[]) => tokens.flatMap((token) => model.tokens_to_ids.get(token) ?? []);
    const short = (piece: string): readonly number[] => {
      const id = piece.length === 1 ? model.tokens_to_ids.get(piece) : undefined;
      return id === undefined ? idsOf(model.encode([piece])) : [id];
    };
    const { fuse_unk: fuses, unk_token: unknown } = this.#model;
    const fused = fuses === true && typeof unknown === "string" ? model.tokens_to_ids.get(unknown) : undefined;
    for (const part of this.#split(normalised)) {
      const piece = this.#alphabet.write(part);
      const whole = this.#model.ignore_merges === true && model.tokens_to_ids.has(piece);
      // The library takes a space for the end of a piece.
      const isShort = piece.length < LONG_PIECE && this.#alphabet !== characters;
      if (isShort || whole) {
        for (const id of short(piece)) ids.push(id);
        continue;
      }
      this.#merger ??= new LongPieceMerger(this.#model);
      // As in the reference tokenizers, characters around one that is dropped are neighbours.
      const isKept = (character: string) => short(character).length > 0;
      const kept = this.#alphabet === characters ? Array.from(piece).filter(isKept).join("") : piece;
      const merged = this.#merger.merge(kept, short);
      for (const [i, id] of merged.entries()) if (id !== fused || merged[i - 1] !== id) ids.push(id);
    }
  }

  /** Decodes the ids of a whole text; invalid UTF-8 gives U+FFFD. */
  decode(ids: readonly number[], { skipSpecial = false }: { readonly skipSpecial?: boolean } = {}): string {
    const stream = this.streamDecoder({ skipSpecial });
    let text = "";
    for (const id of ids) text += stream.push(id);
    text += stream.flush();
    return this.#hasFirstSpace && text.startsWith(" ") ? text.slice(1) : text;
  }

  /** A token's bytes; undefined for an unused id. */
  tokenBytes(id: number): Uint8Array | undefined {
    const known = this.#bytes[id];
    if (known !== undefined) return known;
    const token = this.#tokens[id];
    const bytes = token === undefined ? undefined : this.#alphabet.read(token);
    if (bytes !== undefined) this.#bytes[id] = bytes;
    return bytes;
  }

  streamDecoder({ skipSpecial = false }: { readonly skipSpecial?: boolean } = {}): StreamDecoder {
    return createStreamDecoder((id) => (skipSpecial && this.#special.has(id) ? undefined : this.tokenBytes(id)));
  }
}

/** What a tokenizer.json does to texts around its BPE. */
interface TextSteps {
  readonly split: PreTokenizer;
  readonly alphabet: Alphabet;
  /** Whether decoding removes a space from the beginning of a text, as where the normalizer adds one. */
  readonly hasFirstSpace: boolean;
}

/**
 * Checks that a tokenizer.json is of a supported type, without checking its vocabulary.
 * @throws IdlmError "file-malformed", "unsupported" naming the field of `path`.
 */
export function checkTokenizerJson(json: TokenizerJson, path: string): TextSteps {
  requireObject(json, path, "content");
  requireObject(json.model, path, "model");
  if (json.model.type !== "BPE") {
    throw new IdlmError("unsupported", {
      path,
      feature: `a tokenizer of type ${kindOf(json.model.type)}`,
      hint: "Supported is byte-level BPE (Llama 3, Qwen, GPT-2, SmolLM).",
    });
  }
  checkNormalizer(json.normalizer, path);
  checkAffixes(json.model, path);
  const { dropout, byte_fallback: fallback } = json.model;
  const hasByteFallback = fallback === true;
  if (typeof dropout === "number" && dropout !== 0) {
    throw new IdlmError("unsupported", {
      path,
      feature: `dropout ${dropout}`,
      hint: "Texts are not encoded at random.",
    });
  }
  const hasFirstSpace = stripsFirstSpace(json.decoder, hasByteFallback, path) ?? addsSpace(json.normalizer);
  const split = preTokenizerOf(json.pre_tokenizer, path);
  const isByteLevel = usesByteLevel(json.pre_tokenizer, hasByteFallback, path);
  return { split, alphabet: hasByteFallback ? sentencePiece : isByteLevel ? byteLevel : characters, hasFirstSpace };
}

/** @throws IdlmError "unsupported" for a vocabulary with subword prefixes or suffixes, which byte-level ones do not have. */
function checkAffixes(model: TokenizerJson["model"], path: string): void {
  for (const name of ["continuing_subword_prefix", "continuing_subword_suffix", "end_of_word_suffix"]) {
    if (model[name] === undefined || model[name] === null || model[name] === "") continue;
    throw new IdlmError("unsupported", {
      path,
      feature: `${name} ${kindOf(model[name])}`,
      hint: "Supported is byte-level BPE (Llama 3, Qwen, GPT-2, SmolLM).",
    });
  }
}
