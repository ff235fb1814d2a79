import { existsSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { IdlmError } from "../../errors.ts";
import { readFolderText } from "../../formats/files/folder-text.ts";
import { openGguf } from "../../formats/gguf/gguf.ts";
import type { ModelLocation } from "../../hub/index.ts";
import { modelOfGguf, openModel } from "./open-model.ts";
import { type Tokenizer, tokenizerFromFolder, tokenizerFromGguf } from "../../tokenizer/index.ts";

/** The folder of a tokenizer without a model: that of a tokenizer.json, or one with a tokenizer.json but no config.json. */
export function bareTokenizerFolder(path: string): string | undefined {
  const folder = basename(path) === "tokenizer.json" ? dirname(path) : path;
  const isFolder = statSync(folder, { throwIfNoEntry: false })?.isDirectory() ?? false;
  const has = (name: string) => existsSync(join(folder, name));
  return isFolder && has("tokenizer.json") && (folder !== path || !has("config.json")) ? folder : undefined;
}

/**
 * Opens the tokenizer of a model (checking its files like `load`, but without reading weights), of a GGUF file with only a
 * vocabulary, or of a folder from `bareTokenizerFolder`.
 * @throws IdlmError "usage" if there is none; "file-malformed", "unsupported".
 */
export function openTokenizer(place: ModelLocation | { readonly kind: "tokenizer"; readonly path: string }): Tokenizer {
  const tokenizer = place.kind === "gguf" ? ofGguf(place.path) : ofFolder(place.path, place.kind === "tokenizer");
  if (tokenizer !== undefined) return tokenizer;
  throw new IdlmError("usage", { problem: `${place.path} has no tokenizer`, hint: "Name a model with a tokenizer." });
}

function ofGguf(path: string): Tokenizer | undefined {
  const file = openGguf(path);
  try {
    if (file.tensors.size > 0) modelOfGguf(file);
    return tokenizerFromGguf(file.metadata, path);
  } finally {
    file.close();
  }
}

function ofFolder(path: string, isBare: boolean): Tokenizer | undefined {
  if (isBare) return tokenizerFromFolder(path, readFolderText(path));
  const model = openModel(path, "huggingface");
  try {
    return model.text && tokenizerFromFolder(path, model.text);
  } finally {
    model.close();
  }
}
