import { IdlmError } from "../errors.ts";

/** The part of a Hugging Face tokenizer.json that byte-level BPE needs. */
export interface TokenizerJson {
  readonly added_tokens: readonly AddedToken[];
  readonly normalizer: unknown;
  readonly pre_tokenizer: unknown;
  readonly model: {
    readonly type: "BPE";
    readonly vocab: Readonly<Record<string, number>>;
    readonly merges: readonly (string | readonly [string, string])[];
    readonly ignore_merges?: boolean;
    readonly [key: string]: unknown;
  };
  readonly [key: string]: unknown;
}

export interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
  readonly [key: string]: unknown;
}

/** Largest id; published vocabularies end below 300,000. */
const MAX_ID = 1 << 22;

/** Checks what comes from a file before anything is built of it. @throws IdlmError "file-malformed", "unsupported". */
export function validateTokenizerJson(json: TokenizerJson, path: string): void {
  const wrong = (field: string, expected: string, found: unknown) =>
    new IdlmError("file-malformed", { path, field, expected, found: String(found).slice(0, 80) });
  const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
    typeof value === "object" && value !== null && !Array.isArray(value);
  if (!isObject(json)) throw wrong("content", "an object", typeof json);
  if (!isObject(json.model)) throw wrong("model", "an object", typeof json.model);
  if (json.model.type !== "BPE") {
    throw new IdlmError("unsupported", {
      path,
      feature: `a tokeniser of type ${JSON.stringify(json.model.type)}`,
      hint: "Byte-level BPE (Llama 3, Qwen, GPT-2, SmolLM) is.",
    });
  }
  const { vocab, merges } = json.model;
  if (!isObject(vocab)) throw wrong("model.vocab", "an object", typeof vocab);
  const used = new Map<number, string>();
  const claim = (id: unknown, token: string, field: string) => {
    if (typeof id !== "number" || !Number.isInteger(id) || id < 0 || id > MAX_ID) {
      throw wrong(field, `an id from 0 to ${MAX_ID}`, id);
    }
    const other = used.get(id);
    if (other !== undefined && other !== token)
      throw wrong(field, `an id of its own`, `${id}, as ${JSON.stringify(other)}`);
    used.set(id, token);
  };
  for (const [token, id] of Object.entries(vocab))
    claim(id, token, `model.vocab[${JSON.stringify(token).slice(0, 60)}]`);
  if (!Array.isArray(json.added_tokens)) throw wrong("added_tokens", "an array", typeof json.added_tokens);
  json.added_tokens.forEach((token: unknown, i) => {
    const field = `added_tokens[${i}]`;
    if (!isObject(token) || typeof token.content !== "string" || token.content === "") {
      throw wrong(field, "an object with content", JSON.stringify(token));
    }
    claim(token.id, token.content, field);
  });
  if (!Array.isArray(merges)) throw wrong("model.merges", "an array", typeof merges);
  merges.forEach((merge: unknown, i) => {
    const pair = typeof merge === "string" ? merge.split(" ") : merge;
    const field = `model.merges[${i}]`;
    if (!Array.isArray(pair) || pair.length !== 2 || !pair.every((part) => typeof part === "string")) {
      throw wrong(field, "two tokens", JSON.stringify(merge));
    }
    for (const token of [...pair, pair.join("")] as string[]) {
      if (!Object.hasOwn(vocab, token)) throw wrong(field, "tokens of the vocabulary", JSON.stringify(token));
    }
  });
}
