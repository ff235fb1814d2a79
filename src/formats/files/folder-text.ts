import { isUtf8 } from "node:buffer";
import { existsSync } from "node:fs";
import { join } from "node:path";
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
  /** `config.json`; empty if the folder has none. */
  readonly modelConfig: JsonObject;
  /** End-of-sequence tokens, from `generation_config.json` and `config.json`. */
  readonly endIds: readonly number[];
  readonly chatTemplate: string | undefined;
  /** The template named `tool_use`, for conversations with tools. */
  readonly toolTemplate: string | undefined;
}

/** Published templates are below 20 KB; `ChatTemplate` has a lower limit for what it parses. */
const MAX_TEMPLATE_BYTES = 4 * 2 ** 20;

/** Names of templates. */
const DEFAULT = "default";
const TOOL_USE = "tool_use";

/**
 * Reads those of tokenizer.json, tokenizer_config.json, special_tokens_map.json, generation_config.json, config.json,
 * chat_template.jinja and additional_chat_templates/tool_use.jinja that the folder has. `vocabSize`: rows of the model's
 * embedding.
 * @throws IdlmError "file-unreadable" (also for a link that points outside of the folder), "file-malformed".
 */
export function readFolderText(folder: string, vocabSize?: number): FolderText {
  const optional = (name: string): string | undefined => {
    const path = fileInFolder(folder, name);
    return existsSync(path) ? path : undefined;
  };
  const tokenizerPath = optional("tokenizer.json");
  const read = (name: string) => {
    const path = fileInFolder(folder, name);
    return { path, json: existsSync(path) ? readJsonObject(path) : {} };
  };
  const tokenizerConfig = read("tokenizer_config.json");
  const [generationConfig, modelConfig] = [read("generation_config.json"), read("config.json")];
  const stored = namedTemplates(tokenizerConfig.json, tokenizerConfig.path);
  const templatePath = optional("chat_template.jinja");
  const toolPath = optional(join("additional_chat_templates", `${TOOL_USE}.jinja`));
  // As in transformers, files take precedence over all templates of the config.
  const template = (path: string | undefined, name: string) => {
    if (path !== undefined) return readTemplate(path);
    return templatePath === undefined ? stored.get(name) : undefined;
  };
  return {
    tokenizerJson: tokenizerPath === undefined ? undefined : readTokenizerJson(tokenizerPath, vocabSize),
    tokenizerConfig: tokenizerConfig.json,
    specialTokensMap: read("special_tokens_map.json").json,
    modelConfig: modelConfig.json,
    endIds: [...new Set([generationConfig, modelConfig].flatMap(({ path, json }) => endIdsOf(json, path, vocabSize)))],
    chatTemplate: template(templatePath, DEFAULT),
    toolTemplate: template(toolPath, TOOL_USE),
  };
}

function endIdsOf(json: JsonObject, path: string, vocabSize = Number.MAX_SAFE_INTEGER): readonly number[] {
  const value = json.eos_token_id ?? [];
  const ids: readonly unknown[] = Array.isArray(value) ? value : [value];
  return ids.map((id) => {
    if (typeof id !== "number" || !Number.isInteger(id) || id < 0 || id >= vocabSize) {
      throw malformed(path, "eos_token_id", `ids from 0 below ${vocabSize}`, kindOf(id));
    }
    return id;
  });
}

/** A single template, or named ones: as a list, or as an object. */
function namedTemplates({ chat_template: value }: JsonObject, path: string): ReadonlyMap<string, string> {
  const field = "chat_template";
  if (value === undefined || value === null) return new Map();
  if (typeof value === "string") return new Map([[DEFAULT, value]]);
  if (typeof value !== "object") throw malformed(path, field, "a string, or named templates", kindOf(value));
  const named = Array.isArray(value)
    ? value.map((item) => requireObject(item, path, field)).map(({ name, template }) => [name, template] as const)
    : Object.entries(value);
  return new Map(
    named.map(([name, template]) => {
      if (typeof name !== "string") throw malformed(path, field, "a name for each template", kindOf(name));
      if (typeof template !== "string") throw malformed(path, field, "a string", kindOf(template));
      return [name, template];
    }),
  );
}

function readTemplate(path: string): string {
  const file = new ByteFile(path);
  try {
    if (file.size > MAX_TEMPLATE_BYTES) throw malformed(path, "size", `at most ${MAX_TEMPLATE_BYTES} bytes`, file.size);
    const bytes = file.read(0, file.size);
    if (!isUtf8(bytes)) throw malformed(path, "content", "UTF-8", "invalid UTF-8");
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  } finally {
    file.close();
  }
}
