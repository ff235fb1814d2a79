import { join } from "node:path";
import type { FolderText } from "../formats/files/folder-text.ts";
import { IdlmError } from "../errors.ts";
import { kindOf } from "../formats/files/json.ts";
import type { TokenizerJson } from "../formats/files/tokenizer-json.ts";
import { Tokenizer } from "./tokenizer.ts";

type Json = Readonly<Record<string, unknown>>;

/** The tokenizer of a Hugging Face folder, from its files `text`; undefined if it has none. */
export function tokenizerFromFolder(folder: string, text: FolderText): Tokenizer | undefined {
  const { tokenizerJson: json, tokenizerConfig: config, endIds } = text;
  if (json === undefined) return undefined;
  const contentOf = (value: unknown) =>
    typeof value === "object" && value !== null && "content" in value ? value.content : value;
  // A tokenizer of another type has not been checked yet; it is rejected below.
  const added = Array.isArray(json.added_tokens) ? json.added_tokens : [];
  const idOf = (value: unknown) => added.find(({ content }) => content === contentOf(value))?.id;
  const eosId = idOf(config.eos_token);
  const first = firstToken(json, join(folder, "tokenizer.json"));
  const facts = {
    bosId: idOf(config.bos_token) ?? idOf(first),
    // As in transformers, the config takes precedence over the post-processor.
    addsBos: typeof config.add_bos_token === "boolean" ? config.add_bos_token : first !== undefined,
    eosIds: [...new Set(eosId === undefined ? endIds : [...endIds, eosId])],
  };
  return new Tokenizer(json, facts, join(folder, "tokenizer.json"));
}

/** The token that the post-processor adds before each text (Llama 2 and 3). @throws IdlmError "unsupported". */
function firstToken({ post_processor }: TokenizerJson, path: string): unknown {
  const unsupported = (feature: string) =>
    new IdlmError("unsupported", { path, feature, hint: "Supported are those that put one token before a text." });
  const outer = post_processor as Json | null | undefined;
  const steps: unknown = outer?.type === "Sequence" ? outer.processors : [outer ?? {}];
  let first: unknown;
  for (const step of Array.isArray(steps) ? steps : []) {
    const { type, single, cls } = (step ?? {}) as Json;
    if (type === "BertProcessing" || type === "RobertaProcessing") first = Array.isArray(cls) ? cls[0] : undefined;
    else if (type === "TemplateProcessing" && Array.isArray(single)) {
      const parts: readonly unknown[] = single;
      const at = parts.findIndex((part) => typeof part === "object" && part !== null && "Sequence" in part);
      if (at > 1) throw unsupported(`a post_processor with ${at} tokens before a text`);
      const [before] = at === 1 ? (parts as readonly { readonly SpecialToken?: Json }[]) : [];
      first = before?.SpecialToken?.id;
    } else if (type !== undefined && type !== "ByteLevel") throw unsupported(`the post_processor ${kindOf(type)}`);
  }
  return first;
}
