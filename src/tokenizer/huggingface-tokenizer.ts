import { join } from "node:path";
import type { FolderText } from "../formats/files/folder-text.ts";
import type { TokenizerJson } from "../formats/files/tokenizer-json.ts";
import { Tokenizer } from "./tokenizer.ts";

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
  const first = firstToken(json);
  const facts = {
    bosId: idOf(config.bos_token) ?? idOf(first),
    // As in transformers, the config takes precedence over the post-processor.
    addsBos: typeof config.add_bos_token === "boolean" ? config.add_bos_token : first !== undefined,
    eosIds: [...new Set(eosId === undefined ? endIds : [...endIds, eosId])],
  };
  return new Tokenizer(json, facts, join(folder, "tokenizer.json"));
}

/** The token that the post-processor adds before each text (Llama 2 and 3). */
function firstToken({ post_processor }: TokenizerJson): unknown {
  const outer = post_processor as { type?: unknown; processors?: unknown } | null | undefined;
  const steps: unknown = outer?.type === "Sequence" ? outer.processors : [outer];
  for (const step of Array.isArray(steps) ? steps : []) {
    const { type, single } = (step ?? {}) as { type?: unknown; single?: unknown };
    if (type !== "TemplateProcessing" || !Array.isArray(single)) continue;
    const [first] = single as [{ SpecialToken?: { id?: unknown } } | null | undefined];
    return first?.SpecialToken?.id;
  }
  return undefined;
}
