import { existsSync } from "node:fs";
import type { Adapter } from "../../formats/adapter/adapter.ts";
import type { MaskEmbedding } from "../../formats/adapter/mask-embedding.ts";
import { readJsonObject } from "../../formats/files/json.ts";
import { fileInFolder } from "../../formats/files/model-folder.ts";
import { dequantise } from "../../formats/tensor/dequantise.ts";
import { IdlmError } from "../../errors.ts";
import type { OpenedModel } from "./open-model.ts";

/** What published I-DLM checkpoints and adapters call the token that MASK rows are fed (arXiv 2604.11035). */
export const MASK_TOKEN = "<|MASK|>";

/**
 * The MASK embedding of a model or an adapter in the layout of published I-DLM ones, which have no file for it: the row of
 * the token embeddings that belongs to the MASK token, at every depth. The token is named by `mask_token_id` of config.json,
 * or it is an added token of the model or of the adapter folder. Undefined where none names one, and for an adapter that
 * has idlm's own files.
 * @throws IdlmError "adapter-mismatch" where the model has no such row; "file-malformed".
 */
export function maskTokenEmbedding(model: OpenedModel, adapter?: Adapter): MaskEmbedding | undefined {
  if (adapter !== undefined && (adapter.peft === undefined || adapter.idlm !== undefined)) return undefined;
  const token = model.config.maskToken ?? addedMaskToken(model) ?? (adapter && addedTokenOf(adapter.path));
  if (token === undefined) return undefined;
  const { hiddenSize, vocabSize } = model.config;
  if (token >= vocabSize) {
    const reason = `${MASK_TOKEN} is token ${token}, the model has ${vocabSize}`;
    throw new IdlmError("adapter-mismatch", { adapter: adapter?.path ?? model.path, model: model.path, reason });
  }
  const embedding = model.weights.get("model.embed_tokens.weight")?.tensor;
  if (embedding === undefined) return undefined;
  const rowBytes = embedding.bytes.length / vocabSize;
  const values = new Float32Array(hiddenSize);
  // A copy: blocks are read through a view that starts at the row.
  dequantise(embedding.type, embedding.bytes.slice(token * rowBytes, (token + 1) * rowBytes), values);
  return { nDepths: 1, hiddenSize, sharedByDepth: true, values };
}

/** The id of a model's added MASK token. */
export function addedMaskToken({ vocabulary, text }: OpenedModel): number | undefined {
  const index = vocabulary?.tokens.indexOf(MASK_TOKEN) ?? -1;
  if (index >= 0) return index;
  return text?.tokenizerJson?.added_tokens.find(({ content }) => content === MASK_TOKEN)?.id;
}

/** Trainers store the tokenizer beside the adapter. */
function addedTokenOf(folder: string): number | undefined {
  const added = optionalJson(folder, "added_tokens.json")[MASK_TOKEN];
  if (isId(added)) return added;
  const decoder = optionalJson(folder, "tokenizer_config.json").added_tokens_decoder ?? {};
  const entry = Object.entries(decoder).find(
    ([, token]) => (token as { content?: unknown } | null)?.content === MASK_TOKEN,
  );
  const id = entry === undefined ? undefined : Number(entry[0]);
  return isId(id) ? id : undefined;
}

function optionalJson(folder: string, name: string): Readonly<Record<string, unknown>> {
  const path = fileInFolder(folder, name);
  return existsSync(path) ? readJsonObject(path) : {};
}

function isId(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
