import { isUtf8 } from "node:buffer";
import { existsSync } from "node:fs";
import { type JsonObject, kindOf, readJsonObject, requireObject } from "./json.ts";
import { malformed } from "./malformed.ts";
import { ByteFile } from "./map-file.ts";
import { fileInFolder } from "./model-folder.ts";
import { readTokenizerJson, type TokenizerJson } from "./tokenizer-json.ts";

/** What the files of a Hugging Face folder say of its text, checked. */
export interface FolderText {
  /** Undefined where the folder has none. */
  readonly tokenizerJson: TokenizerJson | undefined;
  /** `tokenizer_config.json`; empty where the folder has none. */
  readonly tokenizerConfig: JsonObject;
  /** Tokens that end a text, by `generation_config.json` and `config.json`. */
  readonly endIds: readonly number[];
  readonly chatTemplate: string | undefined;
}

/** Templates are below 20 KB; `ChatTemplate` has the limit of what it parses. */
const MAX_TEMPLATE_BYTES = 4 * 2 ** 20;

/**
 * Reads a folder's tokenizer.json, tokenizer_config.json, generation_config.json, chat_template.jinja, each where it is
 * there, and the end tokens of config.json. `vocabSize`: rows of the model's embedding.
 * @throws IdlmError "file-unreadable" (also for a link that leads out of the folder), "file-malformed".
 */
export function readFolderText(folder: string, vocabSize?: number): FolderText {
  const optional = (name: string): string | undefined => {
    const path = fileInFolder(folder, name);
    return existsSync(path) ? path : undefined;
  };
  const tokenizerPath = optional("tokenizer.json");
  const configPath = optional("tokenizer_config.json");
  const tokenizerConfig = configPath === undefined ? {} : readJsonObject(configPath);
  const templatePath = optional("chat_template.jinja");
  const endPaths = [optional("generation_config.json"), optional("config.json")].filter((path) => path !== undefined);
  return {
    tokenizerJson: tokenizerPath === undefined ? undefined : readTokenizerJson(tokenizerPath, vocabSize),
    tokenizerConfig,
    endIds: [...new Set(endPaths.flatMap((path) => readEndIds(path, vocabSize)))],
    // As transformers does: the file of its own goes before.
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

/** One template, or several by name, of which the one called "default" is for conversations. */
function templateOf({ chat_template: value }: JsonObject, path: string): string | undefined {
  if (value === undefined || value === null || typeof value === "string") return value ?? undefined;
  const field = "chat_template";
  if (!Array.isArray(value)) throw malformed(path, field, "a text, or texts by name", kindOf(value));
  const named = value.map((item) => requireObject(item, path, field)).find(({ name }) => name === "default");
  if (named === undefined) return undefined;
  if (typeof named.template !== "string") throw malformed(path, field, "a text", kindOf(named.template));
  return named.template;
}

function readTemplate(path: string): string {
  const file = new ByteFile(path);
  try {
    if (file.size > MAX_TEMPLATE_BYTES) throw malformed(path, "size", `at most ${MAX_TEMPLATE_BYTES} bytes`, file.size);
    const bytes = file.read(0, file.size);
    if (!isUtf8(bytes)) throw malformed(path, "content", "UTF-8", "bytes that are not");
    return new TextDecoder().decode(bytes);
  } finally {
    file.close();
  }
}
