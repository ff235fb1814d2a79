import { existsSync } from "node:fs";
import { join } from "node:path";
import { IdlmError } from "../../errors.ts";
import { checkFloats, isScale, readFloats } from "../adapter/int8-storage.ts";
import { malformed, quote } from "../files/malformed.ts";
import { openSafetensors, type SafetensorsFile } from "../safetensors/safetensors.ts";
import type { StoredTensor } from "../tensor/tensor.ts";
import { matchPatterns, matchTargets, type PeftConfig, readPeftConfig, refuseTokenMatrices } from "./peft-config.ts";

export type { PeftConfig } from "./peft-config.ts";

/** The low-rank term of one linear layer: y += scale · B·(A·x). */
interface LoraTerm<Matrix> {
  readonly rank: number;
  readonly inSize: number;
  readonly outSize: number;
  /** [rank, in] */
  readonly a: Matrix;
  /** [out, rank] */
  readonly b: Matrix;
  readonly scale: number;
}

/** With values: float32, row-major. */
export type LoraModule = LoraTerm<Float32Array>;

/** A LoRA adapter in PEFT's layout. */
export interface PeftAdapter<Module = LoraModule> {
  readonly config: PeftConfig;
  /** By the module's name in the base model, like "model.layers.0.self_attn.q_proj". */
  readonly modules: ReadonlyMap<string, Module>;
}

/** An adapter whose matrices are still in its file; the caller closes the file. */
export interface OpenedPeftAdapter extends PeftAdapter<LoraTerm<StoredTensor>> {
  readonly file: SafetensorsFile;
}

const CONFIG_NAME = "adapter_config.json";
const WEIGHTS_NAME = "adapter_model.safetensors";
/** PEFT's prefix before the base model's names. */
const PREFIX = "base_model.model.";
const weightName = /^(.+)\.lora_([AB])\.weight$/;
const layerNumber = /(?:^|\.)layers\.(\d{1,9})\.(.+)$/;

/**
 * Reads `adapter_config.json` and `adapter_model.safetensors` of a folder, as PEFT writes them or with 8-bit weights (see
 * `quantiseInt8`). Errors: "file-missing", "file-unreadable", "file-malformed" (also if a layer or a module has no
 * weights), "unsupported".
 */
export function readPeftAdapter(folder: string): PeftAdapter {
  const { config, modules, file } = openPeftAdapter(folder);
  try {
    const { path, tensors } = file;
    const read = [...modules].map(([name, { a, b, ...module }]) => {
      return [name, { ...module, a: readFloats(a, tensors, path), b: readFloats(b, tensors, path) }] as const;
    });
    return { config, modules: new Map(read) };
  } finally {
    file.close();
  }
}

/** Like `readPeftAdapter`, but reads and checks headers only. */
export function openPeftAdapter(folder: string): OpenedPeftAdapter {
  const configPath = join(folder, CONFIG_NAME);
  const config = readPeftConfig(configPath);
  const path = join(folder, WEIGHTS_NAME);
  if (!existsSync(path) && existsSync(join(folder, "adapter_model.bin"))) {
    throw new IdlmError("unsupported", {
      path: folder,
      feature: "adapter_model.bin",
      hint: `Save the adapter as ${WEIGHTS_NAME}.`,
    });
  }
  const file = openSafetensors(path, `An adapter folder holds ${WEIGHTS_NAME}.`);
  try {
    const pairs = collectPairs(file.tensors, path);
    const names = [...pairs.keys()];
    checkModules(config, names, path, configPath);
    const ranks = matchPatterns(config.rankPattern, names, configPath, "rank_pattern");
    const alphas = matchPatterns(config.alphaPattern, names, configPath, "alpha_pattern");
    const modules = new Map<string, LoraTerm<StoredTensor>>();
    for (const [i, [name, pair]] of [...pairs].entries()) {
      const rank = ranks[i] ?? config.rank;
      const alpha = alphas[i] ?? config.alpha;
      const scale = alpha / (config.useRslora ? Math.sqrt(rank) : rank);
      modules.set(name, moduleOf(name, pair, rank, scale, path));
      for (const matrix of [pair.a, pair.b]) if (matrix !== undefined) checkFloats(matrix, file.tensors, path);
    }
    return { config, modules, file };
  } catch (error) {
    file.close();
    throw error;
  }
}

interface Pair {
  a?: StoredTensor;
  b?: StoredTensor;
}

/** A and B by module. Any other tensor belongs to an adapter type that is not supported. */
function collectPairs(tensors: ReadonlyMap<string, StoredTensor>, path: string): Map<string, Pair> {
  refuseTokenMatrices(tensors.keys(), path);
  const pairs = new Map<string, Pair>();
  for (const [name, tensor] of tensors) {
    if (isScale(name, tensors)) continue;
    const match = name.startsWith(PREFIX) ? weightName.exec(name.slice(PREFIX.length)) : null;
    const [, module, factor] = match ?? [];
    if (module === undefined) {
      throw new IdlmError("unsupported", {
        path,
        feature: `the tensor ${quote(name)}`,
        hint: "Only plain LoRA on linear layers is.",
      });
    }
    const pair = pairs.get(module) ?? {};
    if (factor === "A") pair.a = tensor;
    else pair.b = tensor;
    pairs.set(module, pair);
  }
  return pairs;
}

/** Checks that nothing is missing: every module is a target, every target has modules, and all layers have the same ones. */
function checkModules(config: PeftConfig, names: readonly string[], path: string, configPath: string): void {
  const areTargets = matchTargets(config.targetModules, names, configPath);
  const stray = names.find((_, i) => !areTargets[i]);
  if (stray !== undefined)
    throw malformed(path, `module ${quote(stray)}`, "a module of target_modules", "another module");
  if (typeof config.targetModules !== "string") {
    for (const target of config.targetModules) {
      if (!names.some((name) => name === target || name.endsWith(`.${target}`))) {
        throw malformed(path, `target module ${quote(target)}`, "weights", "none");
      }
    }
  }
  const layers = new Map<number, Set<string>>();
  for (const name of names) {
    const [, number, rest] = layerNumber.exec(name) ?? [];
    if (number === undefined || rest === undefined) continue;
    const layer = layers.get(Number(number)) ?? new Set();
    layers.set(Number(number), layer.add(rest));
  }
  // A pattern may select different modules in each layer.
  if (typeof config.targetModules === "string" && config.targetModules !== "all-linear") return;
  checkLayers(layers, config.layersToTransform, path);
}

function checkLayers(
  layers: ReadonlyMap<number, ReadonlySet<string>>,
  toTransform: readonly number[] | undefined,
  path: string,
): void {
  const expected = toTransform ?? Array.from({ length: layers.size }, (_, i) => i);
  const stray = [...layers.keys()].find((layer) => !expected.includes(layer));
  const missing = expected.find((layer) => !layers.has(layer));
  if (missing !== undefined) throw malformed(path, `layer ${missing}`, "weights", "none");
  if (stray !== undefined) throw malformed(path, `layer ${stray}`, "a layer of layers_to_transform", "another layer");
  const all = new Set([...layers.values()].flatMap((modules) => [...modules]));
  for (const [layer, modules] of layers) {
    const lost = [...all].find((module) => !modules.has(module));
    if (lost !== undefined)
      throw malformed(path, `module ${quote(lost)} of layer ${layer}`, "weights, as in other layers", "none");
  }
}

function moduleOf(name: string, { a, b }: Pair, rank: number, scale: number, path: string): LoraTerm<StoredTensor> {
  if (a === undefined || b === undefined) {
    throw malformed(
      path,
      `module ${quote(name)}`,
      "lora_A and lora_B",
      a === undefined ? "only lora_B" : "only lora_A",
    );
  }
  const [rankOfA, inSize] = matrixShape(a, path);
  const [outSize, rankOfB] = matrixShape(b, path);
  if (rankOfA !== rank)
    throw malformed(path, `tensor ${quote(a.name)}`, `shape [${rank}, in]`, `[${rankOfA}, ${inSize}]`);
  if (rankOfB !== rank)
    throw malformed(path, `tensor ${quote(b.name)}`, `shape [out, ${rank}]`, `[${outSize}, ${rankOfB}]`);
  return { rank, inSize, outSize, a, b, scale };
}

function matrixShape(tensor: StoredTensor, path: string): readonly [number, number] {
  const [rows, cols] = tensor.shape;
  if (rows === undefined || cols === undefined || tensor.shape.length !== 2) {
    throw malformed(path, `tensor ${quote(tensor.name)}`, "a matrix", `shape [${tensor.shape.join(", ")}]`);
  }
  return [rows, cols];
}
