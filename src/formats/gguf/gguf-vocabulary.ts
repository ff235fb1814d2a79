import { malformed, quote } from "../files/malformed.ts";
import { checkMerges } from "../files/tokenizer-json.ts";
import { describeValue, type GgufValue } from "./gguf-metadata.ts";

/** Token types of GGUF (llama.cpp's `llama_token_type`). */
export const tokenTypes = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

/** The tokenizer in a GGUF file's metadata, checked. */
export interface GgufVocabulary {
  /** Tokenizer type (`tokenizer.ggml.model`), like BYTE_LEVEL_BPE. */
  readonly model: string;
  /** Name of the pre-tokenizer (`tokenizer.ggml.pre`). */
  readonly pre: string | undefined;
  /** By id, without duplicates. */
  readonly tokens: readonly string[];
  /** By id, values of `tokenTypes`; normal by default. */
  readonly types: ArrayLike<number>;
  /** "a b", highest priority first. In byte-level BPE both parts are tokens in use. Empty if the file has none. */
  readonly merges: readonly string[];
  /** By id, without NaN; undefined if the file has none. */
  readonly scores: Float32Array | undefined;
  /** Undefined if the file does not say. */
  readonly addsBos: boolean | undefined;
  /** Whether a space is put before each text; undefined if the file does not say. */
  readonly addsSpacePrefix: boolean | undefined;
  /** Values of the keys `tokenizer.ggml.NAME_token_id`, by NAME, of those that are set. */
  readonly ids: ReadonlyMap<string, number>;
  readonly chatTemplate: string | undefined;
  /** For conversations with tools, if it is another one. */
  readonly toolTemplate: string | undefined;
}

export const BYTE_LEVEL_BPE = "gpt2";
export const SENTENCE_PIECE = "llama";

const PREFIX = "tokenizer.ggml.";
const tokenIdKey = /^tokenizer\.ggml\.(\w+)_token_id$/;
/** Not checked: published files have padding ids outside of the vocabulary, and they are not used. */
const PADDING = "padding";

/** What converters write for a token that a model lacks: −1, also as an unsigned number of 32 bits. */
const UNSET: readonly number[] = [-1, 0xffffffff];

/**
 * Checks and returns the vocabulary in a GGUF file's metadata; undefined if it has none. `nRows`: rows of the model's
 * embedding, one per token. Does not check whether the tokenizer type is supported.
 * @throws IdlmError "file-malformed" naming the key.
 */
export function readGgufVocabulary(
  metadata: ReadonlyMap<string, GgufValue>,
  path: string,
  nRows?: number,
): GgufVocabulary | undefined {
  const chatTemplate = readString(metadata, "tokenizer.chat_template", path);
  const toolTemplate = readString(metadata, "tokenizer.chat_template.tool_use", path);
  const model = readString(metadata, `${PREFIX}model`, path);
  if (model === undefined && metadata.has(`${PREFIX}tokens`)) {
    throw malformed(path, `${PREFIX}model`, "the tokenizer type", "nothing");
  }
  if (model === undefined || model === "none" || model === "no_vocab") {
    if (nRows !== undefined) readIds(metadata, path, nRows);
    return undefined;
  }
  const tokens = readTokens(metadata, path, nRows);
  const types = readTypes(metadata, path, tokens.length);
  const scores = readScores(metadata, path, tokens.length);
  if (model === SENTENCE_PIECE && scores === undefined) {
    throw malformed(path, `${PREFIX}scores`, "an array of 32-bit floats", "nothing");
  }
  const merges = readStrings(metadata, `${PREFIX}merges`, path);
  if (model === BYTE_LEVEL_BPE) {
    if (merges === undefined) throw malformed(path, `${PREFIX}merges`, "an array of strings", "nothing");
    const used = new Set(tokens.filter((_, id) => types[id] !== tokenTypes.unused));
    checkMerges(merges, (token) => used.has(token), path, `${PREFIX}merges`);
  }
  const addsBos = readBoolean(metadata, `${PREFIX}add_bos_token`, path);
  const addsSpacePrefix = readBoolean(metadata, `${PREFIX}add_space_prefix`, path);
  const pre = readString(metadata, `${PREFIX}pre`, path);
  const ids = readIds(metadata, path, tokens.length);
  return {
    ...{ model, pre, tokens, types, merges: merges ?? [], scores, addsBos, addsSpacePrefix, ids },
    ...{ chatTemplate, toolTemplate },
  };
}

function readTokens(
  metadata: ReadonlyMap<string, GgufValue>,
  path: string,
  nRows: number | undefined,
): readonly string[] {
  const field = `${PREFIX}tokens`;
  const tokens = readStrings(metadata, field, path);
  if (tokens === undefined) throw malformed(path, field, "an array of strings", "nothing");
  if (nRows !== undefined && tokens.length !== nRows) {
    throw malformed(path, field, `${nRows} tokens, one per row of token_embd.weight`, tokens.length);
  }
  const ids = new Map<string, number>();
  tokens.forEach((token, id) => {
    if (token === "") throw malformed(path, `${field}[${id}]`, "a token", "nothing");
    const other = ids.get(token);
    if (other !== undefined)
      throw malformed(path, `${field}[${id}]`, "a unique token", `${quote(token)}, also the token ${other}`);
    ids.set(token, id);
  });
  return tokens;
}

function readTypes(metadata: ReadonlyMap<string, GgufValue>, path: string, nTokens: number): ArrayLike<number> {
  const field = `${PREFIX}token_type`;
  const types = metadata.get(field);
  if (types === undefined) return new Int32Array(nTokens).fill(tokenTypes.normal);
  if (!(types instanceof Int32Array) && !(types instanceof Uint32Array)) {
    throw malformed(path, field, "an array of 32-bit integers", describeValue(types));
  }
  if (types.length !== nTokens) throw malformed(path, field, `${nTokens} types, one per token`, types.length);
  const wrong = types.findIndex((type) => type < tokenTypes.normal || type > tokenTypes.byte);
  if (wrong >= 0) throw malformed(path, `${field}[${wrong}]`, "a type from 1 to 6", types[wrong] ?? "nothing");
  return types;
}

/** Optional for byte-level BPE, but checked if the file has them. */
function readScores(metadata: ReadonlyMap<string, GgufValue>, path: string, nTokens: number): Float32Array | undefined {
  const field = `${PREFIX}scores`;
  const scores = metadata.get(field);
  if (scores === undefined) return undefined;
  if (!(scores instanceof Float32Array))
    throw malformed(path, field, "an array of 32-bit floats", describeValue(scores));
  if (scores.length !== nTokens) throw malformed(path, field, `${nTokens} scores, one per token`, scores.length);
  const wrong = scores.findIndex((score) => Number.isNaN(score));
  if (wrong >= 0) throw malformed(path, `${field}[${wrong}]`, "a number", "NaN");
  return scores;
}

function readIds(metadata: ReadonlyMap<string, GgufValue>, path: string, nTokens: number): ReadonlyMap<string, number> {
  const ids = new Map<string, number>();
  for (const [key, value] of metadata) {
    const name = tokenIdKey.exec(key)?.[1];
    if (name === undefined || name === PADDING || UNSET.includes(value as number)) continue;
    if (typeof value !== "number" || !Number.isInteger(value) || value < 0 || value >= nTokens) {
      throw malformed(path, key, `an id below ${nTokens}`, describeValue(value));
    }
    ids.set(name, value);
  }
  return ids;
}

function readBoolean(metadata: ReadonlyMap<string, GgufValue>, key: string, path: string): boolean | undefined {
  const value = metadata.get(key);
  if (value !== undefined && typeof value !== "boolean") throw malformed(path, key, "a boolean", describeValue(value));
  return value;
}

function readString(metadata: ReadonlyMap<string, GgufValue>, key: string, path: string): string | undefined {
  const value = metadata.get(key);
  if (value !== undefined && typeof value !== "string") throw malformed(path, key, "a string", describeValue(value));
  return value;
}

function readStrings(
  metadata: ReadonlyMap<string, GgufValue>,
  key: string,
  path: string,
): readonly string[] | undefined {
  const value = metadata.get(key);
  if (value === undefined) return undefined;
  const isArray = Array.isArray(value);
  const wrong = isArray ? value.find((item) => typeof item !== "string") : value;
  if (wrong !== undefined) {
    throw malformed(
      path,
      key,
      "an array of strings",
      isArray ? `an array with ${describeValue(wrong)}` : describeValue(wrong),
    );
  }
  return value as readonly string[];
}
