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
/** No published model has so many; an untrusted name may have any number. */
const MAX_LAYERS = 1024;
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

/**
 * Checks that every module is a target, and that no weights got lost: in the layers that the adapter has, every linear
 * layer that is a target has weights. A target that no module has is ignored (as in PEFT, as long as one has).
 */
function checkModules(config: PeftConfig, names: readonly string[], path: string, configPath: string): void {
  if (names.length === 0) throw malformed(path, "tensors", "weights of a LoRA", "none");
  const areTargets = matchTargets(config, names, configPath);
  const stray = names.findIndex((_, i) => !areTargets[i]);
  if (stray >= 0) {
    const name = names[stray] ?? "";
    const [, layer] = layerNumber.exec(name) ?? [];
    const { layersToTransform, targetModules } = config;
    const isOfLayer = Array.isArray(targetModules) && targetModules.some((target) => name.endsWith(`.${target}`));
    if (layer !== undefined && layersToTransform !== undefined && isOfLayer) {
      throw malformed(path, `layer ${layer}`, "a layer of layers_to_transform", "another layer");
    }
    throw malformed(path, `module ${quote(name)}`, "a module of target_modules", "another module");
  }
  // A pattern may select different modules in each layer.
  if (typeof config.targetModules === "string" && config.targetModules !== "all-linear") return;
  checkLost(config, names, path, configPath);
}

/** Linear layers of the architectures, and those that some engines fuse from them. */
const linearLayers: Readonly<Record<string, string | undefined>> = {
  "self_attn.q_proj": "self_attn.qkv_proj",
  "self_attn.k_proj": "self_attn.qkv_proj",
  "self_attn.v_proj": "self_attn.qkv_proj",
  "self_attn.o_proj": undefined,
  "mlp.gate_proj": "mlp.gate_up_proj",
  "mlp.up_proj": "mlp.gate_up_proj",
  "mlp.down_proj": undefined,
};

function checkLost(config: PeftConfig, names: readonly string[], path: string, configPath: string): void {
  const present = new Set(names);
  const found = names.flatMap((name) => {
    const [whole, number, rest] = layerNumber.exec(name) ?? [];
    if (whole === undefined || number === undefined || rest === undefined) return [];
    const before = name.slice(0, name.length - whole.length) + (whole.startsWith(".") ? "." : "");
    return [{ before, layer: Number(number), rest }];
  });
  const [first] = found;
  if (first === undefined) return;
  const seen = new Set(found.map(({ rest }) => rest));
  const possible =
    config.targetModules === "all-linear"
      ? seen
      : new Set([
          ...seen,
          ...Object.entries(linearLayers).flatMap(([name, fused]) =>
            fused !== undefined && seen.has(fused) ? [] : [name],
          ),
        ]);
  const nLayers = 1 + found.reduce((max, { layer }) => Math.max(max, layer), 0);
  if (nLayers > MAX_LAYERS) throw malformed(path, `layer ${nLayers - 1}`, `a layer below ${MAX_LAYERS}`, nLayers - 1);
  const modules = Array.from({ length: nLayers }, (_, layer) =>
    [...possible].map((rest) => ({ layer, rest, name: `${first.before}layers.${layer}.${rest}` })),
  ).flat();
  const areTargets = matchTargets(
    config,
    modules.map(({ name }) => name),
    configPath,
  );
  const lost = modules.find(({ name }, i) => areTargets[i] === true && !present.has(name));
  if (lost === undefined) return;
  const isWholeLayer = !found.some(({ layer }) => layer === lost.layer);
  if (isWholeLayer) throw malformed(path, `layer ${lost.layer}`, "weights", "none");
  if (!seen.has(lost.rest)) {
    const target =
      typeof config.targetModules === "string"
        ? lost.rest
        : config.targetModules.find((name) => lost.name.endsWith(name));
    throw malformed(path, `target module ${quote(target ?? lost.rest)}`, "weights", "none");
  }
  throw malformed(path, `module ${quote(lost.rest)} of layer ${lost.layer}`, "weights, as in other layers", "none");
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
