import { join } from "node:path";
import { IdlmError } from "../errors.ts";
import type { FolderText } from "../formats/files/folder-text.ts";
import { quote } from "../formats/files/malformed.ts";
import type { AddedToken, TokenizerJson } from "../formats/files/tokenizer-json.ts";
import type { GgufValue } from "../formats/gguf/gguf-metadata.ts";
import { BYTE_LEVEL_BPE, readGgufVocabulary, tokenTypes } from "../formats/gguf/gguf-vocabulary.ts";
import { endOfText } from "./end-of-text.ts";
import { byteLevelKinds } from "./gguf-tokenizer.ts";
import { tokenizerFromFolder } from "./huggingface-tokenizer.ts";
import { ggufNames, variablesOfFolder } from "./special-variables.ts";

const PREFIX = "tokenizer.ggml.";

/**
 * The tokenizer and chat template of a folder as a GGUF file's metadata, with a token for each of the `vocabSize` rows of
 * the model's embedding. @throws IdlmError "unsupported" for what GGUF cannot say.
 */
export function tokenizerToGguf(folder: string, text: FolderText, vocabSize: number): [string, GgufValue][] {
  const { tokenizerJson: json, tokenizerConfig, chatTemplate, toolTemplate } = text;
  const tokenizer = tokenizerFromFolder(folder, text);
  if (json === undefined || tokenizer === undefined) return [[`${PREFIX}model`, "none"]];
  const path = join(folder, "tokenizer.json");
  const { tokens, types } = tokensOf(json, vocabSize, path);
  const metadata: [string, GgufValue][] = [
    [`${PREFIX}model`, BYTE_LEVEL_BPE],
    [`${PREFIX}pre`, preTokenizerName(json, path)],
    [`${PREFIX}tokens`, tokens],
    [`${PREFIX}token_type`, types],
    [`${PREFIX}merges`, json.model.merges.map((merge) => (typeof merge === "string" ? merge : merge.join(" ")))],
    [`${PREFIX}add_bos_token`, tokenizer.addsBos],
  ];
  const ids = new Map<string, number>();
  const variables = variablesOfFolder(text);
  for (const [name, variable] of Object.entries(ggufNames)) {
    const id = tokens.indexOf(variables[variable] ?? "");
    if (id >= 0) ids.set(name, id);
  }
  if (tokenizer.bosId !== undefined) ids.set("bos", tokenizer.bosId);
  nameEnds(ids, tokenizer.eosIds, contentOf(tokenizerConfig.eos_token));
  for (const [name, id] of ids) metadata.push([`${PREFIX}${name}_token_id`, id]);
  if (chatTemplate !== undefined) metadata.push(["tokenizer.chat_template", chatTemplate]);
  if (toolTemplate !== undefined) metadata.push(["tokenizer.chat_template.tool_use", toolTemplate]);
  checkEnds(metadata, tokenizer.eosIds, path);
  return metadata;

  /** The first end has a name of its own; others have those of the ends of a turn and of a message. */
  function nameEnds(names: Map<string, number>, ends: readonly number[], first: unknown): void {
    const eos = ends.find((id) => tokens[id] === first) ?? ends[0];
    const others = ends.filter((id) => id !== eos);
    for (const [i, name] of ["eot", "eom"].entries()) {
      const id = others[i];
      if (id !== undefined) names.set(name, id);
    }
    if (eos !== undefined) names.set("eos", eos);
  }
}

function contentOf(value: unknown): unknown {
  return typeof value === "object" && value !== null && "content" in value ? value.content : value;
}

/** Tokens by id, with their types; rows without a token get unused ones. */
function tokensOf(
  { model, added_tokens: added }: TokenizerJson,
  vocabSize: number,
  path: string,
): { readonly tokens: string[]; readonly types: Int32Array } {
  // As in llama.cpp's converter.
  const tokens = Array.from({ length: vocabSize }, (_, id) => `[PAD${id}]`);
  const types = new Int32Array(vocabSize).fill(tokenTypes.unused);
  for (const [token, id] of Object.entries(model.vocab)) {
    tokens[id] = token;
    types[id] = tokenTypes.normal;
  }
  for (const token of added) {
    checkFlags(token, path);
    tokens[token.id] = token.content;
    types[token.id] = token.special ? tokenTypes.control : tokenTypes.userDefined;
  }
  return { tokens, types };
}

function checkFlags(token: AddedToken, path: string): void {
  const flag = (["single_word", "lstrip", "rstrip"] as const).find((name) => token[name] === true);
  if (flag !== undefined) throw unsupported(path, `${flag} of the added token ${quote(token.content)}`);
}

/** The name of the pre-tokenizer, normalizer and way to merge. */
function preTokenizerName({ pre_tokenizer, normalizer, model }: TokenizerJson, path: string): string {
  const wanted = JSON.stringify([stepsOf(pre_tokenizer), stepsOf(normalizer), model.ignore_merges === true]);
  for (const [name, kind] of Object.entries(byteLevelKinds)) {
    const { ignore_merges: ignoreMerges } = kind.model ?? {};
    const offered = [stepsOf(kind.pre_tokenizer), stepsOf(kind.normalizer), ignoreMerges === true];
    if (name !== "default" && JSON.stringify(offered) === wanted) return name;
  }
  throw unsupported(path, "this combination of pre-tokenizer, normalizer and merges");
}

type Json = Readonly<Record<string, unknown>>;

/** The steps of a pre-tokenizer or normalizer in one form, whatever is nested or left out. */
function stepsOf(value: unknown): unknown[] {
  if (value === null || value === undefined) return [];
  const json = value as Json;
  switch (json.type) {
    case "Sequence": {
      const parts = json.pretokenizers ?? json.normalizers;
      return Array.isArray(parts) ? parts.flatMap(stepsOf) : [json];
    }
    case "ByteLevel":
      return [["ByteLevel", json.use_regex !== false, json.add_prefix_space === true]];
    case "Digits":
      return [["Digits", json.individual_digits === true]];
    case "Split":
      return [["Split", (json.pattern as Json | undefined)?.Regex, json.behavior, json.invert === true]];
    case "NFC":
      return [["NFC"]];
    default:
      return [json];
  }
}

/** Checks that a reader of the metadata ends where the folder's tokenizer does. */
function checkEnds(metadata: Iterable<[string, GgufValue]>, ends: readonly number[], path: string): void {
  const vocabulary = readGgufVocabulary(new Map(metadata), path);
  const known = vocabulary === undefined ? [] : endOfText(vocabulary).ids;
  const lost = ends.find((id) => !known.includes(id));
  if (lost !== undefined) throw unsupported(path, `token ${lost} as one of ${ends.length} ends of a text`);
}

function unsupported(path: string, what: string): IdlmError {
  const hint = "GGUF has no place for it; use the folder as it is.";
  return new IdlmError("unsupported", { path, feature: what, hint });
}
