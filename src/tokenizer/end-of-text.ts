import { type GgufVocabulary, tokenTypes } from "../formats/gguf/gguf-vocabulary.ts";

/**
 * Texts of tokens that end a generation whatever their type (llama.cpp, its file llama-vocab.cpp): converters do not always
 * name them, or mark them as special.
 */
const endTexts: readonly string[] = [
  "<|eot_id|>",
  "<|im_end|>",
  "<|end|>",
  "<|return|>",
  "<|call|>",
  "<|flush|>",
  "<|calls|>",
  "<end_of_turn>",
  "<|endoftext|>",
  "</s>",
  "<|eom_id|>",
  "<EOT>",
  "_<EOT>",
  "[EOT]",
  "[EOS]",
  "<|end_of_text|>",
  "<end_of_utterance>",
  "<eos>",
  "<turn|>",
  "<|tool_response>",
  "<｜end▁of▁sentence｜>",
  "[e~[",
];

/** Tokens of code infilling, by the key that may name them instead. Those of `ends` end a generation, too. */
const infill: Readonly<Record<string, { readonly texts: readonly string[]; readonly ends: boolean }>> = {
  fim_pre: {
    texts: [
      "<|fim_prefix|>",
      "<fim-prefix>",
      "<fim_prefix>",
      "<｜fim▁begin｜>",
      "<PRE>",
      "▁<PRE>",
      "<|code_prefix|>",
      "<|prefix|>",
    ],
    ends: false,
  },
  fim_suf: {
    texts: [
      "<|fim_suffix|>",
      "<fim-suffix>",
      "<fim_suffix>",
      "<｜fim▁hole｜>",
      "<SUF>",
      "▁<SUF>",
      "<|code_suffix|>",
      "<|suffix|>",
    ],
    ends: false,
  },
  fim_mid: {
    texts: [
      "<|fim_middle|>",
      "<fim-middle>",
      "<fim_middle>",
      "<｜fim▁end｜>",
      "<MID>",
      "▁<MID>",
      "<|code_middle|>",
      "<|middle|>",
    ],
    ends: false,
  },
  fim_pad: { texts: ["<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"], ends: true },
  fim_rep: { texts: ["<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"], ends: true },
  fim_sep: { texts: ["<|file_sep|>"], ends: true },
};

const olderNames: Readonly<Record<string, string>> = { fim_pre: "prefix", fim_suf: "suffix", fim_mid: "middle" };

/** Always visible in gpt-oss, whatever their type. */
const visibleTexts: readonly string[] = ["<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"];

export interface EndOfText {
  /** Ids that end a generation. */
  readonly ids: readonly number[];
  /** Types of tokens that differ from those of the file. */
  readonly types: ReadonlyMap<number, number>;
}

/** The ids that end a generation, and the tokens that therefore are control tokens, by llama.cpp's rules. */
export function endOfText({ tokens, types, ids, merges }: GgufVocabulary): EndOfText {
  const idOf = new Map(tokens.map((token, id) => [token, id]));
  const changed = new Map<number, number>();
  const control = (id: number) => {
    if (types[id] !== tokenTypes.control) changed.set(id, tokenTypes.control);
  };
  const ends = new Set<number>();
  const named = ["eos", "eot", "eom"].flatMap((name) => ids.get(name) ?? []);
  for (const id of named) ends.add(id);
  for (const [name, { texts, ends: isEnd }] of Object.entries(infill)) {
    // Older files have another key, which takes precedence.
    const given = ids.get(olderNames[name] ?? "") ?? ids.get(name);
    const found = given ?? texts.map((text) => idOf.get(text)).find((id) => id !== undefined);
    if (found === undefined) continue;
    if (given === undefined) control(found);
    if (isEnd) ends.add(found);
  }
  for (const text of endTexts) {
    const id = idOf.get(text);
    if (id === undefined) continue;
    ends.add(id);
    // Qwen2 has it as an ordinary piece, made by merges, which must not become a special token.
    if (text !== "</s>" || !merges.some((merge) => merge.replace(" ", "") === text)) control(id);
  }
  for (const text of visibleTexts) {
    const id = idOf.get(text);
    if (id !== undefined) changed.set(id, tokenTypes.userDefined);
  }
  const has = (text: string) => ends.has(idOf.get(text) ?? -1);
  const exclude = (text: string, type: number) => {
    const id = idOf.get(text);
    if (id === undefined || !ends.has(id)) return;
    ends.delete(id);
    changed.set(id, type);
  };
  // In the formats of gpt-oss and Solar Open this token separates messages.
  const hasCall = has("<|call|>") || has("<|calls|>");
  if (hasCall && (has("<|return|>") || has("<|flush|>"))) exclude("<|end|>", tokenTypes.userDefined);
  // Gemma 4 and PLaMo have it as an ordinary text.
  if (has("<|tool_response>") || has("<|plamo:eos|>")) exclude("</s>", tokenTypes.normal);
  return { ids: [...ends], types: changed };
}
