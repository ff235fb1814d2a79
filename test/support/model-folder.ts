import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openGguf } from "../../src/formats/gguf/gguf.ts";
import { readGgufVocabulary, tokenTypes } from "../../src/formats/gguf/gguf-vocabulary.ts";

const fixtures = join(import.meta.dirname, "../fixtures");

/** The tiny model that examples run with, instead of a real one. */
export const tinyModel = join(fixtures, "gguf/tiny64-Q8_0.gguf");

/** A Hugging Face folder of the fixture llama-tiny with the tokenizer of the tiny GGUF, whose vocabulary has the same size. */
export function makeModelFolder(folder: string): void {
  mkdirSync(folder);
  for (const name of ["config.json", "model.safetensors", "generation_config.json"]) {
    cpSync(join(fixtures, "models/llama-tiny", name), join(folder, name));
  }
  const file = openGguf(tinyModel);
  const vocabulary = readGgufVocabulary(file.metadata, tinyModel);
  file.close();
  if (vocabulary === undefined) throw new Error("the tiny model has no vocabulary");
  const { tokens, types, merges, chatTemplate } = vocabulary;
  const added = tokens.flatMap((content, id) =>
    types[id] === tokenTypes.control
      ? [{ id, content, special: true, single_word: false, lstrip: false, rstrip: false, normalized: false }]
      : [],
  );
  const json = {
    ...{ version: "1.0", added_tokens: added, normalizer: null, post_processor: null },
    pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, use_regex: true },
    decoder: { type: "ByteLevel" },
    model: { type: "BPE", vocab: Object.fromEntries(tokens.map((token, id) => [token, id])), merges },
  };
  writeFileSync(join(folder, "tokenizer.json"), JSON.stringify(json));
  writeFileSync(join(folder, "tokenizer_config.json"), JSON.stringify({ chat_template: chatTemplate }));
}
