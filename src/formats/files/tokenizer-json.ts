import { kindOf, readJsonObject, requireObject } from "./json.ts";
import { malformed, quote } from "./malformed.ts";

/** The part of a Hugging Face tokenizer.json that byte-level BPE needs. */
export interface TokenizerJson {
  readonly added_tokens: readonly AddedToken[];
  readonly normalizer: unknown;
  readonly pre_tokenizer: unknown;
  readonly model: {
    readonly type: "BPE";
    readonly vocab: Readonly<Record<string, number>>;
    readonly merges: readonly (string | readonly [string, string])[];
    readonly ignore_merges?: boolean;
    readonly [key: string]: unknown;
  };
  readonly [key: string]: unknown;
}

export interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
  /** Flags: where the token matches, and which white space it takes with it (false if absent). */
  readonly single_word?: boolean;
  readonly lstrip?: boolean;
  readonly rstrip?: boolean;
  /** Whether the token is looked for in the normalised text. */
  readonly normalized?: boolean;
  readonly [key: string]: unknown;
}

/** Published vocabularies have fewer than 300,000 tokens. */
const MAX_VOCABULARY = 1 << 22;

/** Vocabularies of 256,000 tokens take up to 35 MB and about 2 million values. */
const fileLimits = { maxBytes: 128 * 2 ** 20, maxValues: 4_000_000 };

/**
 * Reads a tokenizer.json. BPE is checked by `validateTokenizerJson`; other types are rejected later, by `checkTokenizerJson`.
 * @throws IdlmError "file-missing", "file-unreadable", "file-malformed".
 */
export function readTokenizerJson(path: string, vocabSize?: number): TokenizerJson {
  const json = readJsonObject(path, fileLimits);
  if (requireObject(json.model, path, "model").type === "BPE") {
    validateTokenizerJson(json as unknown as TokenizerJson, path, vocabSize);
  } else if (json.added_tokens !== undefined) {
    if (!Array.isArray(json.added_tokens)) throw malformed(path, "added_tokens", "an array", kindOf(json.added_tokens));
    for (const [i, token] of json.added_tokens.entries()) requireObject(token, path, `added_tokens[${i}]`);
  }
  return json as unknown as TokenizerJson;
}

/**
 * Checks a BPE tokenizer read from a file: ids are unique and below `vocabSize` (the rows of the model's embedding), and
 * merges join tokens of the vocabulary. @throws IdlmError "file-malformed".
 */
export function validateTokenizerJson(json: TokenizerJson, path: string, vocabSize = MAX_VOCABULARY): void {
  const { merges } = json.model;
  const vocab = requireObject(json.model.vocab, path, "model.vocab");
  const owners = new Map<number, string>();
  const claim = (id: unknown, token: string, field: string) => {
    if (typeof id !== "number" || !Number.isInteger(id) || id < 0 || id >= vocabSize) {
      throw malformed(path, field, `an id below ${vocabSize}`, kindOf(id));
    }
    const other = owners.get(id);
    if (other !== undefined && other !== token) {
      throw malformed(path, field, "a unique id", `${id}, also the id of ${quote(other)}`);
    }
    owners.set(id, token);
  };
  for (const [token, id] of Object.entries(vocab)) claim(id, token, `model.vocab[${quote(token)}]`);
  if (!Array.isArray(json.added_tokens)) {
    throw malformed(path, "added_tokens", "an array", kindOf(json.added_tokens));
  }
  json.added_tokens.forEach((value: unknown, i) => {
    const field = `added_tokens[${i}]`;
    const token = requireObject(value, path, field);
    if (typeof token.content !== "string" || token.content === "") {
      throw malformed(path, `${field}.content`, "a non-empty string", kindOf(token.content));
    }
    for (const flag of ["special", "single_word", "lstrip", "rstrip", "normalized"]) {
      const is = token[flag];
      if (is !== undefined && typeof is !== "boolean")
        throw malformed(path, `${field}.${flag}`, "a boolean", kindOf(is));
    }
    claim(token.id, token.content, `${field}.id`);
  });
  if (!Array.isArray(merges)) throw malformed(path, "model.merges", "an array", kindOf(merges));
  checkMerges(merges, (token) => Object.hasOwn(vocab, token), path, "model.merges");
}

/** Checks that each merge is two tokens ("a b", or a pair) and that they and their concatenation are in the vocabulary. */
export function checkMerges(
  merges: readonly unknown[],
  isToken: (token: string) => boolean,
  path: string,
  name: string,
): void {
  merges.forEach((merge, i) => {
    const pair = typeof merge === "string" ? splitPair(merge) : merge;
    const [first, second]: unknown[] = Array.isArray(pair) && pair.length === 2 ? pair : [];
    if (typeof first !== "string" || typeof second !== "string") {
      throw malformed(path, `${name}[${i}]`, "two tokens", kindOf(merge));
    }
    if (isToken(first) && isToken(second) && isToken(first + second)) return;
    const stray = [first, second, first + second].find((token) => !isToken(token));
    throw malformed(path, `${name}[${i}]`, "tokens of the vocabulary", quote(stray ?? ""));
  });
}

function splitPair(merge: string): readonly [string, string] | undefined {
  const space = merge.indexOf(" ");
  return space < 0 || merge.includes(" ", space + 1) ? undefined : [merge.slice(0, space), merge.slice(space + 1)];
}
