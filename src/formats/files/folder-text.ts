import { isUtf8 } from "node:buffer";
import { existsSync } from "node:fs";
import { type JsonObject, kindOf, readJsonObject, requireObject } from "./json.ts";
import { malformed } from "./malformed.ts";
import { ByteFile } from "./map-file.ts";
import { fileInFolder } from "./model-folder.ts";
import { readTokenizerJson, type TokenizerJson } from "./tokenizer-json.ts";

/** The tokenizer files of a Hugging Face folder, checked. */
export interface FolderText {
  /** Undefined if the folder has none. */
  readonly tokenizerJson: TokenizerJson | undefined;
  /** `tokenizer_config.json`; empty if the folder has none. */
  readonly tokenizerConfig: JsonObject;
  /** `special_tokens_map.json`; empty if the folder has none. */
  readonly specialTokensMap: JsonObject;
  /** End-of-sequence tokens, from `generation_config.json` and `config.json`. */
  readonly endIds: readonly number[];
  readonly chatTemplate: string | undefined;
}

/** Published templates are below 20 KB; `ChatTemplate` has a lower limit for what it parses. */
const MAX_TEMPLATE_BYTES = 4 * 2 ** 20;

/**
 * Reads those of tokenizer.json, tokenizer_config.json, special_tokens_map.json, generation_config.json and
 * chat_template.jinja that the folder has, and the end-of-sequence tokens of config.json. `vocabSize`: rows of the model's embedding.
 * @throws IdlmError "file-unreadable" (also for a link that points outside of the folder), "file-malformed".
 */
export function readFolderText(folder: string, vocabSize?: number): FolderText {
  const optional = (name: string): string | undefined => {
    const path = fileInFolder(folder, name);
    return existsSync(path) ? path : undefined;
  };
  const tokenizerPath = optional("tokenizer.json");
  const configPath = optional("tokenizer_config.json");
  const tokenizerConfig = configPath === undefined ? {} : readJsonObject(configPath);
  const mapPath = optional("special_tokens_map.json");
  const templatePath = optional("chat_template.jinja");
  const endPaths = [optional("generation_config.json"), optional("config.json")].filter((path) => path !== undefined);
  return {
    tokenizerJson: tokenizerPath === undefined ? undefined : readTokenizerJson(tokenizerPath, vocabSize),
    tokenizerConfig,
    specialTokensMap: mapPath === undefined ? {} : readJsonObject(mapPath),
    endIds: [...new Set(endPaths.flatMap((path) => readEndIds(path, vocabSize)))],
    // As in transformers, the separate file takes precedence.
    chatTemplate:
      templatePath === undefined ? templateOf(tokenizerConfig, configPath ?? folder) : readTemplate(templatePath),
  };
}

function readEndIds(path: string, vocabSize = Number.MAX_SAFE_INTEGER): readonly number[] {
  const value = readJsonObject(path).eos_token_id ?? [];
  const ids: readonly unknown[] = Array.isArray(value) ? value : [value];
  return ids.map((id) => {
    if (typeof id !== "number" || !Number.isInteger(id) || id < 0 || id >= vocabSize) {
      throw malformed(path, "eos_token_id", `ids from 0 below ${vocabSize}`, kindOf(id));
    }
    return id;
  });
}

/** A single template, or a list of named ones, of which "default" is the one for chats. */
function templateOf({ chat_template: value }: JsonObject, path: string): string | undefined {
  if (value === undefined || value === null || typeof value === "string") return value ?? undefined;
  const field = "chat_template";
  if (!Array.isArray(value)) throw malformed(path, field, "a string, or named templates", kindOf(value));
  const named = value.map((item) => requireObject(item, path, field)).find(({ name }) => name === "default");
  if (named === undefined) return undefined;
  if (typeof named.template !== "string") throw malformed(path, field, "a string", kindOf(named.template));
  return named.template;
}

function readTemplate(path: string): string {
  const file = new ByteFile(path);
  try {
    if (file.size > MAX_TEMPLATE_BYTES) throw malformed(path, "size", `at most ${MAX_TEMPLATE_BYTES} bytes`, file.size);
    const bytes = file.read(0, file.size);
    if (!isUtf8(bytes)) throw malformed(path, "content", "UTF-8", "invalid UTF-8");
    return new TextDecoder().decode(bytes);
  } finally {
    file.close();
  }
}
