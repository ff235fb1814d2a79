import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { textOf } from "../../engine/load/text-tokenizer.ts";
import { IdlmError, key, phrase } from "../../errors.ts";
import { readJsonObject } from "../../formats/files/json.ts";
import { toFloat32 } from "../../formats/tensor/dequantise.ts";
import type { StoredTensor, TensorFile } from "../../formats/tensor/tensor.ts";
import { floatTypes } from "../../formats/tensor/tensor-type.ts";
import type { ModelConfig } from "../../model/config/config.ts";
import { configFromHuggingFace } from "../../model/config/huggingface-config.ts";
import { addedMaskToken } from "../../model/open/mask-token.ts";
import { modelOfFolder, type OpenedModel } from "../../model/open/open-model.ts";
import { weightShapes } from "../../model/open/weight-names.ts";
import { deviatedBy } from "../adapter/initial-values.ts";

/** A model whose weights are to be trained. */
export interface StartModel {
  readonly opened: OpenedModel;
  readonly name: string;
  readonly fingerprint: string;
  /** The id that MASK rows are fed; undefined: plain training. */
  readonly maskToken: number | undefined;
}

/** Files of a folder that describe a model but its weights. */
export const textFiles = [
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "vocab.json",
  "merges.txt",
  "generation_config.json",
  "chat_template.jinja",
];

/** Transformers' default, of a model without `initializer_range`. */
const INITIAL_DEVIATION = 0.02;

/**
 * A model with random weights, of the shape of a config.json, with the tokenizer beside it. Each weight depends on the seed
 * and its name only. @throws IdlmError "usage", "file-missing", "file-malformed", "unsupported".
 */
export function newModel(path: string, seed: number): StartModel {
  if (basename(path) !== "config.json") {
    const problem = phrase`${key("config")}: expected the path of a config.json, found ${path}`;
    throw new IdlmError("usage", { problem, hint: "The tokenizer's files have to be beside it." });
  }
  const folder = dirname(path);
  const json = readJsonObject(path);
  const config = configFromHuggingFace(json, path);
  const range = json.initializer_range;
  const deviation = typeof range === "number" && range > 0 ? range : INITIAL_DEVIATION;
  const opened = modelOfFolder(folder, config, randomWeights(path, config, seed, deviation));
  if (textOf(opened).tokenizer === undefined) {
    throw new IdlmError("file-missing", { path: join(folder, "tokenizer.json"), hint: "Text is read by it." });
  }
  const hash = createHash("sha256");
  for (const name of ["config.json", ...textFiles]) {
    const file = join(folder, name);
    if (existsSync(file)) hash.update(`${createHash("sha256").update(readFileSync(file)).digest("hex")}  ${name}\n`);
  }
  return { opened, name: path, fingerprint: hash.digest("hex"), maskToken: undefined };
}

function randomWeights(path: string, config: ModelConfig, seed: number, deviation: number): TensorFile {
  const tensors = new Map<string, StoredTensor>();
  // Sums into the residual stream, of which there are two per layer, begin smaller (GPT-2).
  const ofOutput = deviation / Math.sqrt(2 * config.nLayers);
  for (const [name, shape] of weightShapes(config)) {
    const length = shape.reduce((a, b) => a * b, 1);
    const isOutput = /(?:o_proj|down_proj)\.weight$/.test(name);
    const values =
      shape.length === 1
        ? new Float32Array(length).fill(name.endsWith(".bias") ? 0 : 1)
        : deviatedBy(seed, name, length, isOutput ? ofOutput : deviation);
    tensors.set(name, floatTensor(name, shape, values));
  }
  return { path, files: [], tensors, close: () => {} };
}

/**
 * A model folder with a MASK token: the one that it names, else a new one, whose embedding begins as the mean of all.
 * @throws IdlmError "usage" for a GGUF file or quantised weights.
 */
export function withMaskToken(opened: OpenedModel, name: string, fingerprint: string): StartModel {
  const refuse = (what: string) =>
    new IdlmError("usage", {
      problem: `${name}: the objective full trains all weights, and ${what}`,
      hint: "Name a Hugging Face folder of float weights.",
    });
  if (opened.kind === "gguf") throw refuse("this is a GGUF file");
  if ([...opened.weights.values()].some(({ tensor }) => !floatTypes.has(tensor.type)))
    throw refuse("some are quantised");
  const { tokenizer } = textOf(opened);
  if (tokenizer === undefined) throw refuse("this model has no tokenizer for a MASK token");
  const { config } = opened;
  const found = config.maskToken ?? addedMaskToken(opened);
  if (found !== undefined && found < config.vocabSize) return { opened, name, fingerprint, maskToken: found };
  const maskToken = usedIds(opened);
  const weights = new Map(opened.weights);
  const vocabSize = Math.max(config.vocabSize, maskToken + 1);
  for (const id of ["model.embed_tokens.weight", "lm_head.weight"]) {
    const weight = weights.get(id);
    if (weight !== undefined) weights.set(id, { tensor: withMeanRow(weight.tensor, maskToken, vocabSize) });
  }
  return { opened: { ...opened, config: { ...config, vocabSize }, weights }, name, fingerprint, maskToken };
}

/** One more than the largest id of the tokenizer. */
function usedIds({ text }: OpenedModel): number {
  const { model, added_tokens: added } = text?.tokenizerJson ?? { model: { vocab: {} }, added_tokens: [] };
  return Math.max(-1, ...Object.values(model.vocab), ...added.map(({ id }) => id)) + 1;
}

function withMeanRow(tensor: StoredTensor, row: number, nRows: number): StoredTensor {
  const [before = 0, cols = 0] = tensor.shape;
  const stored = toFloat32(tensor);
  const values = new Float32Array(nRows * cols);
  values.set(stored);
  for (let col = 0; col < cols; col++) {
    let sum = 0;
    for (let at = col; at < before * cols; at += cols) sum += stored[at] as number;
    values[row * cols + col] = sum / before;
  }
  return floatTensor(tensor.name, [nRows, cols], values);
}

function floatTensor(
  name: string,
  shape: readonly number[],
  { buffer, byteOffset, byteLength }: Float32Array,
): StoredTensor {
  return { name, type: "F32", shape, bytes: new Uint8Array(buffer, byteOffset, byteLength) };
}
