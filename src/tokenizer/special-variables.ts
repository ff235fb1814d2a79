import type { FolderText } from "../formats/files/folder-text.ts";
import type { GgufVocabulary } from "../formats/gguf/gguf-vocabulary.ts";

/** Special tokens as variables of a chat template, by name. */
export type SpecialVariables = Readonly<Record<string, string>>;

/** Defaults of transformers' tokenizer classes, for names that a tokenizer_config.json leaves out. */
const classDefaults: Readonly<Record<string, SpecialVariables>> = {
  GPT2Tokenizer: { bos_token: "<|endoftext|>", eos_token: "<|endoftext|>", unk_token: "<|endoftext|>" },
  LlamaTokenizer: { bos_token: "<s>", eos_token: "</s>", unk_token: "<unk>" },
  Qwen2Tokenizer: { eos_token: "<|endoftext|>", pad_token: "<|endoftext|>", unk_token: "<|endoftext|>" },
};

/**
 * The special tokens that a folder's tokenizer names, as transformers passes them to a template: all keys that end with
 * `_token`, and the named ones of `extra_special_tokens`. What is null or absent is undefined.
 */
export function variablesOfFolder({ tokenizerConfig, specialTokensMap }: FolderText): SpecialVariables {
  const { tokenizer_class: tokenizerClass, extra_special_tokens: extra } = tokenizerConfig;
  const name = typeof tokenizerClass === "string" ? tokenizerClass.replace(/Fast$/, "") : "";
  const variables: Record<string, string> = {};
  const take = (values: unknown, isNamed: (key: string) => boolean) => {
    if (typeof values !== "object" || values === null || Array.isArray(values)) return;
    for (const [key, value] of Object.entries(values)) {
      if (!isNamed(key)) continue;
      const content = contentOf(value);
      if (content !== undefined) variables[key] = content;
      else if (value === null) delete variables[key];
    }
  };
  const isTokenName = (key: string) => key.endsWith("_token");
  take(Object.hasOwn(classDefaults, name) ? classDefaults[name] : undefined, isTokenName);
  take(tokenizerConfig, isTokenName);
  take(extra, () => true);
  take(tokenizerConfig.model_specific_special_tokens, () => true);
  // As in transformers: the older file counts where the config does not list the added tokens.
  if (tokenizerConfig.added_tokens_decoder === undefined) take(specialTokensMap, isTokenName);
  return variables;
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
