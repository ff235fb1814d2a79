#!/usr/bin/env node
// Trains a byte-level BPE vocabulary on the messages of a training text, and writes tokenizer.json, tokenizer_config.json
// and config.json of the tiny model. Equal texts give equal files. See scripts/tiny/README.md.
//
//   node scripts/tiny/tokenizer.mjs TEXT_FOLDER OUT_FOLDER
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const [folder, out] = process.argv.slice(2);
if (folder === undefined || out === undefined) throw new Error("usage: tokenizer.mjs TEXT_FOLDER OUT_FOLDER");

const VOCABULARY = 2048;
const special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];
/** One id is left for the MASK token of full training. */
const MOST_TOKENS = VOCABULARY - 1;
/** Merges of pairs that are rarer would be of single texts. */
const LEAST_COUNT = 3;
const PIECES = /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu;

/** GPT-2's printable characters for the 256 bytes. */
function byteCharacters() {
  const printable = (byte) => (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  let other = 0;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(printable(byte) ? byte : 256 + other++));
}

const characters = byteCharacters();
const counts = new Map();
for (const line of readFileSync(join(folder, "text.jsonl"), "utf8").trim().split("\n")) {
  for (const { content } of JSON.parse(line).messages) {
    for (const [piece] of content.matchAll(PIECES)) counts.set(piece, (counts.get(piece) ?? 0) + 1);
  }
}
const words = [...counts].map(([piece, count]) => ({
  symbols: [...Buffer.from(piece)].map((byte) => characters[byte]),
  count,
}));

const tokens = [...special, ...[...characters].sort((a, b) => (a < b ? -1 : 1))];
const merges = [];
/** Counts of neighbours in all words, kept up to date as words change. */
const pairs = new Map();
const countPairs = ({ symbols, count }, sign) => {
  for (let i = 0; i + 1 < symbols.length; i++) {
    const pair = `${symbols[i]} ${symbols[i + 1]}`;
    pairs.set(pair, (pairs.get(pair) ?? 0) + sign * count);
  }
};
for (const word of words) countPairs(word, 1);
while (tokens.length < MOST_TOKENS) {
  let best;
  for (const [pair, count] of pairs) {
    if (count < LEAST_COUNT) continue;
    if (best === undefined || count > best.count || (count === best.count && pair < best.pair)) best = { pair, count };
  }
  if (best === undefined) break;
  const [left, right] = best.pair.split(" ");
  merges.push([left, right]);
  tokens.push(left + right);
  for (const word of words) {
    const { symbols } = word;
    const merged = [];
    for (let i = 0; i < symbols.length; i++) {
      if (symbols[i] === left && symbols[i + 1] === right) merged.push(left + symbols[++i]);
      else merged.push(symbols[i]);
    }
    if (merged.length === symbols.length) continue;
    countPairs(word, -1);
    word.symbols = merged;
    countPairs(word, 1);
  }
}

const added = (content, id) => ({
  id,
  content,
  single_word: false,
  lstrip: false,
  rstrip: false,
  normalized: false,
  special: true,
});
const write = (name, value) => writeFileSync(join(out, name), `${JSON.stringify(value, null, 1)}\n`);
mkdirSync(out, { recursive: true });
write("tokenizer.json", {
  version: "1.0",
  added_tokens: special.map(added),
  normalizer: null,
  pre_tokenizer: {
    type: "Sequence",
    pretokenizers: [
      { type: "Digits", individual_digits: true },
      { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true },
    ],
  },
  post_processor: null,
  decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
  model: { type: "BPE", vocab: Object.fromEntries(tokens.map((token, id) => [token, id])), merges },
});
write("tokenizer_config.json", {
  tokenizer_class: "GPT2Tokenizer",
  model_max_length: 512,
  bos_token: "<|im_start|>",
  eos_token: "<|im_end|>",
  pad_token: "<|endoftext|>",
  chat_template:
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}" +
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
});
write("config.json", {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  vocab_size: VOCABULARY,
  hidden_size: 160,
  intermediate_size: 448,
  num_hidden_layers: 4,
  num_attention_heads: 5,
  num_key_value_heads: 1,
  head_dim: 32,
  hidden_act: "silu",
  max_position_embeddings: 512,
  rms_norm_eps: 1e-5,
  rope_theta: 10_000,
  initializer_range: 0.05,
  tie_word_embeddings: true,
  bos_token_id: 1,
  eos_token_id: 2,
  pad_token_id: 0,
});
process.stdout.write(`${tokens.length} tokens, ${merges.length} merges\n`);
