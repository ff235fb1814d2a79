import type { FolderText } from "../formats/files/folder-text.ts";
import type { JsonObject } from "../formats/files/json.ts";
import type { TokenizerJson } from "../formats/files/tokenizer-json.ts";
import type { GgufVocabulary } from "../formats/gguf/gguf-vocabulary.ts";

/** Special tokens as variables of a chat template, by name. */
export type SpecialVariables = Readonly<Record<string, string>>;

/** Defaults of transformers' tokenizer classes, for names that a tokenizer_config.json leaves out. */
const classDefaults: Readonly<Record<string, SpecialVariables>> = {
  CodeLlamaTokenizer: {
    ...{ bos_token: "<s>", eos_token: "</s>", unk_token: "<unk>", fill_token: "<FILL_ME>" },
    ...{ prefix_token: "▁<PRE>", middle_token: "▁<MID>", suffix_token: "▁<SUF>", eot_token: "▁<EOT>" },
  },
  GPT2Tokenizer: { bos_token: "<|endoftext|>", eos_token: "<|endoftext|>", unk_token: "<|endoftext|>" },
  LlamaTokenizer: { bos_token: "<s>", eos_token: "</s>", unk_token: "<unk>" },
  Qwen2Tokenizer: { eos_token: "<|endoftext|>", pad_token: "<|endoftext|>", unk_token: "<|endoftext|>" },
};

/** The tokenizer class that transformers' `AutoTokenizer` takes, without "Fast"; undefined: one without defaults. */
function tokenizerClassOf({ tokenizerConfig, modelConfig, tokenizerJson }: FolderText): string | undefined {
  const { model_type: modelType } = modelConfig;
  const declared = tokenizerConfig.tokenizer_class ?? modelConfig.tokenizer_class;
  // Whatever the files of a Qwen2 model say.
  if (modelType === "qwen2") return "Qwen2Tokenizer";
  if (typeof declared !== "string") return modelType === "qwen3" ? "Qwen2Tokenizer" : undefined;
  const name = declared.replace(/Fast$/, "");
  return name === "LlamaTokenizer" && tokenizerJson !== undefined && isByteLevel(tokenizerJson) ? undefined : name;
}

function isByteLevel({ pre_tokenizer: preTokenizer, decoder }: TokenizerJson): boolean {
  return /"type":"ByteLevel"/.test(JSON.stringify([preTokenizer, decoder]));
}

/** Names that every tokenizer of transformers has; all others are the model's own. */
const standardNames: ReadonlySet<string> = new Set(
  ["bos", "eos", "unk", "sep", "pad", "cls", "mask"].map((name) => `${name}_token`),
);

/**
 * The special tokens that a folder's tokenizer names, as transformers passes them to a template: all keys that end with
 * `_token`, and the named ones of `extra_special_tokens`. What is null or absent is undefined.
 */
export function variablesOfFolder(text: FolderText): SpecialVariables {
  const { tokenizerConfig, specialTokensMap } = text;
  const isName = (key: string) => key.endsWith("_token");
  const isAny = () => true;
  const name = tokenizerClassOf(text) ?? "";
  // The model's own tokens: those given as text, and the extra ones, override what special_tokens_map.json says.
  const isOwnText = (key: string) => isName(key) && !standardNames.has(key) && typeof tokenizerConfig[key] === "string";
  const own = [...namedTokens(tokenizerConfig, isOwnText), ...namedTokens(extraTokensOf(tokenizerConfig), isAny)];
  // As in transformers: the older file counts where the config does not list the added tokens.
  const older = tokenizerConfig.added_tokens_decoder === undefined ? specialTokensMap : {};
  const variables = new Map([
    ...namedTokens(Object.hasOwn(classDefaults, name) ? classDefaults[name] : undefined, isAny),
    ...namedTokens(tokenizerConfig, isName),
    ...namedTokens(older, isName),
    ...(own.length > 0 ? own : namedTokens(tokenizerConfig.model_specific_special_tokens, isAny)),
    ...namedTokens(older.extra_special_tokens, isAny),
  ]);
  return Object.fromEntries([...variables].flatMap(([key, value]) => (value === null ? [] : [[key, value]])));
}

/** Tokens by name, in order; null: the name has none. */
function namedTokens(values: unknown, isNamed: (key: string) => boolean): [string, string | null][] {
  if (typeof values !== "object" || values === null || Array.isArray(values)) return [];
  return Object.entries(values).flatMap(([key, value]): [string, string | null][] => {
    if (!isNamed(key)) return [];
    const content = contentOf(value);
    if (content !== undefined) return [[key, content]];
    return value === null ? [[key, null]] : [];
  });
}

/** Under its older name where the newer one is absent or empty. */
function extraTokensOf({ extra_special_tokens: extra, additional_special_tokens: older }: JsonObject): unknown {
  const isEmpty = typeof extra !== "object" || extra === null || Object.keys(extra).length === 0;
  return isEmpty ? older : extra;
}

/** A token as text, or as an object with its flags. */
function contentOf(value: unknown): string | undefined {
  const content = typeof value === "object" && value !== null && "content" in value ? value.content : value;
  return typeof content === "string" ? content : undefined;
}

/** Template variables by the NAME of GGUF's keys `tokenizer.ggml.NAME_token_id`. */
export const ggufNames: Readonly<Record<string, string>> = {
  bos: "bos_token",
  eos: "eos_token",
  unknown: "unk_token",
  padding: "pad_token",
  seperator: "sep_token",
  cls: "cls_token",
  mask: "mask_token",
};

/** The special tokens that a GGUF file names. As in llama.cpp, those of begin and end are empty texts if they are not set. */
export function variablesOfGguf({ ids, tokens }: GgufVocabulary): SpecialVariables {
  const variables: Record<string, string> = { bos_token: "", eos_token: "" };
  for (const [name, variable] of Object.entries(ggufNames)) {
    const token = tokens[ids.get(name) ?? -1];
    if (token !== undefined) variables[variable] = token;
  }
  return variables;
}
