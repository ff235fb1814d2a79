import { Tokenizer as Library } from "@huggingface/tokenizers";
import { IdlmError } from "../errors.ts";
import { kindOf, requireObject } from "../formats/files/json.ts";
import { quote } from "../formats/files/malformed.ts";
import { type TokenizerJson, validateTokenizerJson } from "../formats/files/tokenizer-json.ts";
import { type Alphabet, byteLevel, sentencePiece } from "./alphabet.ts";
import { LONG_PIECE, LongPieceMerger } from "./long-pieces.ts";
import { checkNormalizer } from "./normalizer.ts";
import { type PreTokenizer, preTokenizerOf } from "./pre-tokenizer.ts";
import { createStreamDecoder, type StreamDecoder } from "./stream-decoder.ts";

/** Settings of a tokenizer from files other than tokenizer.json. */
export interface TokenizerFacts {
  readonly bosId?: number | undefined;
  /** Whether bosId is added before raw text. */
  readonly addsBos?: boolean | undefined;
  /** End-of-sequence ids. */
  readonly eosIds: readonly number[];
}

const encoder = new TextEncoder();

/**
 * BPE tokenizer: byte-level, or with byte fallback. Merging and normalising are done by `@huggingface/tokenizers`,
 * splitting into pieces by `PreTokenizer`.
 */
export class Tokenizer {
  readonly vocabSize: number;
  readonly bosId: number | undefined;
  readonly addsBos: boolean;
  readonly eosIds: readonly number[];
  readonly #library: Library;
  readonly #alphabet: Alphabet;
  readonly #split: PreTokenizer;
  readonly #model: TokenizerJson["model"];
  #merger: LongPieceMerger | undefined;
  readonly #bytes: (Uint8Array | undefined)[] = [];
  readonly #special = new Map<number, string>();
  /** Matches added tokens that are recognised in any text. */
  readonly #addedPattern: RegExp | undefined;
  /** Matches added and special tokens. */
  readonly #specialPattern: RegExp | undefined;
  readonly #added = new Map<string, number>();

  /** @throws IdlmError "file-malformed", "unsupported" naming the field of `path`. */
  constructor(json: TokenizerJson, facts: TokenizerFacts, path: string) {
    this.#split = checkTokenizerJson(json, path);
    validateTokenizerJson(json, path);
    this.#model = json.model;
    this.#alphabet = json.model.byte_fallback === true ? sentencePiece : byteLevel;
    try {
      // Only the parts that have been checked: the file is untrusted.
      const unused = { added_tokens: [], pre_tokenizer: null, post_processor: null, decoder: null };
      this.#library = new Library({ ...unused, normalizer: json.normalizer ?? null, model: json.model }, {});
    } catch (error) {
      const found = quote(error instanceof Error ? error.message : String(error));
      throw new IdlmError("file-malformed", { path, field: "tokenizer", expected: "a BPE tokenizer", found }, error);
    }
    for (const [token, id] of Object.entries(json.model.vocab)) this.#bytes[id] = this.#alphabet.read(token);
    const plain: string[] = [];
    for (const { id, content, special } of json.added_tokens) {
      this.#bytes[id] = encoder.encode(content);
      this.#added.set(content, id);
      if (special) this.#special.set(id, content);
      else plain.push(content);
    }
    this.#addedPattern = alternatives(plain);
    this.#specialPattern = alternatives([...this.#added.keys()]);
    this.vocabSize = this.#bytes.length;
    this.bosId = facts.bosId;
    this.addsBos = facts.addsBos ?? false;
    this.eosIds = facts.eosIds;
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
    return this.#added.get(content);
  }

  /**
   * Token ids of a text, without BOS. `special`: recognise special tokens in the text (default: they are plain text).
   * Lone surrogates become U+FFFD.
   */
  encode(text: string, { special = false }: { readonly special?: boolean } = {}): number[] {
    const ids: number[] = [];
    for (const segment of this.segments(text, special)) {
      if (typeof segment === "number") ids.push(segment);
      else this.#encodePlain(segment, ids);
    }
    return ids;
  }

  /** Splits a text at added (and special) tokens into their ids and the text between. */
  segments(text: string, special: boolean): (string | number)[] {
    const pattern = special ? this.#specialPattern : this.#addedPattern;
    if (pattern === undefined) return text === "" ? [] : [text];
    const result: (string | number)[] = [];
    let end = 0;
    for (const match of text.matchAll(pattern)) {
      if (match.index > end) result.push(text.slice(end, match.index));
      result.push(this.#added.get(match[0]) as number);
      end = match.index + match[0].length;
    }
    if (end < text.length) result.push(text.slice(end));
    return result;
  }

  #encodePlain(text: string, ids: number[]): void {
    const model = this.#library.model;
    if (model === null) return;
    const normalised = this.#library.normalizer?.normalize(text.toWellFormed()) ?? text.toWellFormed();
    // A byte without a token in the vocabulary is dropped, as in the reference tokenizers.
    const idsOf = (tokens: readonly string[]) => tokens.flatMap((token) => model.tokens_to_ids.get(token) ?? []);
    const short = (piece: string): readonly number[] => {
      const id = piece.length === 1 ? model.tokens_to_ids.get(piece) : undefined;
      return id === undefined ? idsOf(model.encode([piece])) : [id];
    };
    for (const part of this.#split(normalised)) {
      const piece = this.#alphabet.write(part);
      const whole = this.#model.ignore_merges === true && model.tokens_to_ids.has(piece);
      if (piece.length < LONG_PIECE || whole) {
        for (const id of short(piece)) ids.push(id);
        continue;
      }
      this.#merger ??= new LongPieceMerger(this.#model);
      for (const id of this.#merger.merge(piece, short)) ids.push(id);
    }
  }

  /** Decodes the ids of a whole text; invalid UTF-8 gives U+FFFD. */
  decode(ids: readonly number[], { skipSpecial = false }: { readonly skipSpecial?: boolean } = {}): string {
    const stream = this.streamDecoder({ skipSpecial });
    let text = "";
    for (const id of ids) text += stream.push(id);
    text += stream.flush();
    return this.#alphabet.hasFirstSpace && text.startsWith(" ") ? text.slice(1) : text;
  }

  /** A token's bytes; undefined for an unused id. */
  tokenBytes(id: number): Uint8Array | undefined {
    return this.#bytes[id];
  }

  streamDecoder({ skipSpecial = false }: { readonly skipSpecial?: boolean } = {}): StreamDecoder {
    return createStreamDecoder((id) => (skipSpecial && this.#special.has(id) ? undefined : this.#bytes[id]));
  }
}

/**
 * Checks that a tokenizer.json is of a supported type, without checking its vocabulary. Returns its pre-tokenizer.
 * @throws IdlmError "file-malformed", "unsupported" naming the field of `path`.
 */
export function checkTokenizerJson(json: TokenizerJson, path: string): PreTokenizer {
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
  return preTokenizerOf(json.pre_tokenizer, path);
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

/** Longest first, so that the longest matching token is chosen. */
function alternatives(contents: readonly string[]): RegExp | undefined {
  if (contents.length === 0) return undefined;
  const sorted = [...contents].sort((a, b) => b.length - a.length);
  return new RegExp(sorted.map((c) => c.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&")).join("|"), "gu");
}
