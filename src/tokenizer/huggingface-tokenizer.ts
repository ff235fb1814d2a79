import { existsSync } from "node:fs";
import { join } from "node:path";
import { readJsonObject } from "../formats/json.ts";
import { readTokenizerJson, type TokenizerJson } from "../formats/tokenizer-json.ts";
import { Tokenizer } from "./tokenizer.ts";

/** The tokenizer of a Hugging Face folder, `read` if it has been read already, and its chat template; undefined where
 * the folder has none. */
export function tokenizerFromFolder(
  folder: string,
  read?: TokenizerJson,
): { readonly tokenizer: Tokenizer; readonly chatTemplate: string | undefined } | undefined {
  const path = join(folder, "tokenizer.json");
  if (read === undefined && !existsSync(path)) return undefined;
  const json = read ?? readTokenizerJson(path);
  const optional = (name: string) => (existsSync(join(folder, name)) ? readJsonObject(join(folder, name)) : {});
  const config = optional("tokenizer_config.json");
  const generation = optional("generation_config.json");
  const model = optional("config.json");
  const contentOf = (value: unknown) =>
    typeof value === "object" && value !== null && "content" in value ? value.content : value;
  const added = Array.isArray(json.added_tokens) ? json.added_tokens : [];
  const idOf = (value: unknown) => added.find(({ content }) => content === contentOf(value))?.id;
  const eosIds = [generation.eos_token_id, model.eos_token_id, idOf(config.eos_token)]
    .flat()
    .filter((id) => typeof id === "number");
  const template = config.chat_template;
  const tokenizer = new Tokenizer(
    json,
    { bosId: idOf(config.bos_token), addsBos: config.add_bos_token === true, eosIds: [...new Set(eosIds)] },
    path,
  );
  return { tokenizer, chatTemplate: typeof template === "string" ? template : undefined };
}
