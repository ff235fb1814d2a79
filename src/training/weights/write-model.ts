import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type JsonObject, readJsonObject } from "../../formats/files/json.ts";
import { writeOutput } from "../../formats/files/write-output.ts";
import { type TensorToWrite, tensorOf, writeSafetensors } from "../../formats/safetensors/safetensors-writer.ts";
import { floatToBfloat16 } from "../../formats/tensor/half.ts";
import { MASK_TOKEN } from "../../model/open/mask-token.ts";
import type { TrainedValues } from "../training-loop.ts";
import { type StartModel, textFiles } from "./start-model.ts";
import type { WeightStore } from "./weight-settings.ts";

/** Written last, so that a folder that has one is complete. */
export const MODEL_RECORD = "idlm_config.json";

/**
 * Writes a model folder in Hugging Face's layout: config.json, model.safetensors and the start's tokenizer; with a MASK
 * token as published I-DLM models have it (`mask_token_id`, the added token <|MASK|>). Each file is replaced atomically.
 * @throws IdlmError "file-unwritable".
 */
export function writeModel(
  out: string,
  { opened, maskToken }: StartModel,
  values: TrainedValues,
  store: WeightStore,
  record: JsonObject,
): void {
  const from = opened.path;
  const tensors = new Map<string, TensorToWrite>();
  for (const [id, { tensor }] of opened.weights) {
    tensors.set(id, stored(values.get(id) ?? new Float32Array(), tensor.shape, store));
  }
  writeSafetensors(join(out, "model.safetensors"), tensors, { format: "pt" });
  for (const name of textFiles) {
    if (existsSync(join(from, name))) writeOutput(join(out, name), [readFileSync(join(from, name))]);
  }
  if (maskToken !== undefined) addMaskToken(out, maskToken);
  const dtype = store === "bf16" ? "bfloat16" : "float32";
  writeJson(join(out, "config.json"), {
    ...readJsonObject(join(from, "config.json")),
    vocab_size: opened.config.vocabSize,
    torch_dtype: dtype,
    ...(maskToken !== undefined && { mask_token_id: maskToken }),
  });
  writeJson(join(out, MODEL_RECORD), record);
}

/** Names the token in the files that tokenizers are read from. */
function addMaskToken(out: string, id: number): void {
  const token = {
    content: MASK_TOKEN,
    lstrip: false,
    normalized: false,
    rstrip: false,
    single_word: false,
    special: true,
  };
  const edit = (name: string, change: (json: JsonObject) => JsonObject, isRequired = false) => {
    const path = join(out, name);
    if (isRequired || existsSync(path)) writeJson(path, change(existsSync(path) ? readJsonObject(path) : {}));
  };
  edit("tokenizer.json", (json) => {
    const added = Array.isArray(json.added_tokens) ? (json.added_tokens as JsonObject[]) : [];
    return { ...json, added_tokens: [...added.filter((other) => other.id !== id), { id, ...token }] };
  });
  edit("tokenizer_config.json", (json) => {
    const decoder = (json.added_tokens_decoder ?? {}) as JsonObject;
    return { ...json, added_tokens_decoder: { ...decoder, [String(id)]: token } };
  });
  edit("added_tokens.json", (json) => ({ ...json, [MASK_TOKEN]: id }), true);
}

function stored(values: Float32Array, shape: readonly number[], store: WeightStore): TensorToWrite {
  if (store === "f32") return tensorOf(values, shape);
  return { type: "BF16", shape, bytes: new Uint8Array(Uint16Array.from(values, floatToBfloat16).buffer) };
}

function writeJson(path: string, value: JsonObject): void {
  writeOutput(path, [Buffer.from(`${JSON.stringify(value, null, 1)}\n`)]);
}
