import { IdlmError } from "../../errors.ts";
import { type JsonObject, kindOf, readJsonObject, requireObject } from "../files/json.ts";
import { malformed, quote } from "../files/malformed.ts";
import { matchesWithin, PatternError } from "../files/file-pattern.ts";

/** The keys of PEFT's `adapter_config.json` that affect the result of a LoRA. */
export interface PeftConfig {
  readonly rank: number;
  readonly alpha: number;
  /** Suffixes of module names; or one string, a regular expression for whole names or "all-linear". */
  readonly targetModules: readonly string[] | string;
  /** Regular expressions for (suffixes of) module names, with their rank or alpha; the first match counts. */
  readonly rankPattern: readonly (readonly [string, number])[];
  readonly alphaPattern: readonly (readonly [string, number])[];
  /** Scale alpha / √rank in place of alpha / rank. */
  readonly useRslora: boolean;
  /** Undefined: all layers. */
  readonly layersToTransform: readonly number[] | undefined;
  readonly baseModel: string | undefined;
}

/** A config takes a few KB; with rank patterns for every module of a large model, some hundred KB. */
const MAX_CONFIG_BYTES = 4 * 1024 * 1024;
const MAX_RANK = 65_536;
const MAX_ALPHA = 1e9;
/** An untrusted pattern may take exponential time; real ones take microseconds. */
const PATTERN_TIMEOUT_MS = 250;

/** Keys that do not affect the result of a trained adapter, whatever their value. */
const neutralKeys: ReadonlySet<string> = new Set([
  "auto_mapping",
  "base_model_name_or_path",
  "ensure_weight_tying",
  "eva_config",
  "exclude_modules",
  "inference_mode",
  "layers_pattern",
  "lora_dropout",
  "lora_ga_config",
  "megatron_core",
  "peft_type",
  "peft_version",
  "qalora_group_size",
  "revision",
  "runtime_config",
  "task_type",
]);
/** Keys that are read below. */
const readKeys: ReadonlySet<string> = new Set([
  "alpha_pattern",
  "bias",
  "init_lora_weights",
  "layers_to_transform",
  "lora_alpha",
  "r",
  "rank_pattern",
  "target_modules",
  "use_rslora",
]);
/** Initialisations that also change the base model's weights, so that the adapter does not fit the published ones. */
const baseChangingInits = /^(pissa|olora|corda|loftq|lora_ga)/;

/**
 * Reads `adapter_config.json`. Errors: "unsupported" for any other adapter type and for every enabled feature that is not
 * read here, including unknown ones; "file-malformed".
 */
export function readPeftConfig(path: string): PeftConfig {
  const json = readJsonObject(path, { maxBytes: MAX_CONFIG_BYTES }, "An adapter folder holds adapter_config.json.");
  refuseUnsupported(json, path);
  return {
    rank: readCount(json.r, path, "r", MAX_RANK),
    alpha: readPositive(json.lora_alpha, path, "lora_alpha"),
    targetModules: readTargets(json.target_modules, path),
    rankPattern: readPattern(json.rank_pattern, path, "rank_pattern"),
    alphaPattern: readPattern(json.alpha_pattern, path, "alpha_pattern"),
    useRslora: json.use_rslora === true,
    layersToTransform: readLayers(json.layers_to_transform, path),
    baseModel: typeof json.base_model_name_or_path === "string" ? json.base_model_name_or_path : undefined,
  };
}

function refuseUnsupported(json: JsonObject, path: string): void {
  const refuse = (feature: string) =>
    new IdlmError("unsupported", { path, feature, hint: "Only plain LoRA on linear layers is." });
  if (json.peft_type !== "LORA") throw refuse(`the adapter type ${kindOf(json.peft_type)}`);
  if (json.bias !== undefined && json.bias !== null && json.bias !== "none") throw refuse(`bias ${kindOf(json.bias)}`);
  const init = json.init_lora_weights;
  if (typeof init === "string" && baseChangingInits.test(init)) throw refuse(`init_lora_weights ${quote(init)}`);
  for (const [key, value] of Object.entries(json)) {
    if (neutralKeys.has(key) || readKeys.has(key) || isOff(value)) continue;
    throw refuse(`${key.slice(0, 80)} ${kindOf(value)}`);
  }
}

function isOff(value: unknown): boolean {
  if (value === null || value === undefined || value === false) return true;
  return typeof value === "object" && Object.keys(value).length === 0;
}

function readCount(value: unknown, path: string, field: string, most: number): number {
  if (typeof value !== "number" || !Number.isInteger(value) || value < 1 || value > most) {
    throw malformed(path, field, `a whole number from 1 to ${most}`, kindOf(value));
  }
  return value;
}

function readPositive(value: unknown, path: string, field: string): number {
  // JSON's 1e999 parses as infinity.
  if (typeof value !== "number" || !(value > 0 && value <= MAX_ALPHA)) {
    throw malformed(path, field, `a positive number up to ${MAX_ALPHA}`, kindOf(value));
  }
  return value;
}

function readTargets(value: unknown, path: string): readonly string[] | string {
  if (typeof value === "string" && value !== "") return value;
  if (Array.isArray(value) && value.length > 0 && value.every((name): name is string => typeof name === "string")) {
    refuseTokenMatrices(value, path);
    return value;
  }
  throw malformed(path, "target_modules", "module names, or a pattern", kindOf(value));
}

const tokenMatrix = /(?:^|\.)(lm_head|embed_tokens)(?:\.|$)/;

/** @throws IdlmError "unsupported" if a name is that of the output matrix or the embedding, or of a module inside. */
export function refuseTokenMatrices(names: Iterable<string>, path: string): void {
  for (const name of names) {
    const matrix = tokenMatrix.exec(name)?.[1];
    if (matrix === undefined) continue;
    const hint = `Only linear layers of attention and MLP can have LoRA: train the adapter without ${matrix} in target_modules.`;
    throw new IdlmError("unsupported", { path, feature: `LoRA on ${matrix}`, hint });
  }
}

function readPattern(value: unknown, path: string, field: string): [string, number][] {
  if (value === undefined || value === null) return [];
  return Object.entries(requireObject(value, path, field)).map(([pattern, number]) => {
    const name = `${field} ${quote(pattern)}`;
    return [
      pattern,
      field === "rank_pattern" ? readCount(number, path, name, MAX_RANK) : readPositive(number, path, name),
    ];
  });
}

function readLayers(value: unknown, path: string): number[] | undefined {
  if (value === undefined || value === null) return undefined;
  const layers: unknown[] = Array.isArray(value) ? value : [value];
  const isLayer = (layer: unknown): layer is number => Number.isSafeInteger(layer) && (layer as number) >= 0;
  if (layers.length === 0 || !layers.every(isLayer))
    throw malformed(path, "layers_to_transform", "layer numbers", kindOf(value));
  return layers;
}

/**
 * For each name, the value of the first pattern that matches the whole name or the part after a dot (PEFT's rule:
 * `re.match(rf"(.*\.)?({key})$", name)`), or undefined.
 */
export function matchPatterns<T>(
  patterns: readonly (readonly [string, T])[],
  names: readonly string[],
  path: string,
  field: string,
): (T | undefined)[] {
  if (patterns.length === 0) return names.map(() => undefined);
  const sources = patterns.map(([pattern]) => `^(?:.*\\.)?(?:${pattern})$`);
  return runPatterns(sources, names, path, field).map((index) => patterns[index]?.[1]);
}

/** Whether each module is a target: by suffix, or by a pattern for the whole name. */
export function matchTargets(targets: readonly string[] | string, names: readonly string[], path: string): boolean[] {
  if (targets === "all-linear") return names.map(() => true);
  if (typeof targets === "string") {
    return runPatterns([`^(?:${targets})$`], names, path, "target_modules").map((index) => index >= 0);
  }
  return names.map((name) => targets.some((target) => name === target || name.endsWith(`.${target}`)));
}

/** Index of the first pattern that matches each name, or −1. */
function runPatterns(sources: readonly string[], names: readonly string[], path: string, field: string): number[] {
  const found = names.map(() => -1);
  try {
    for (const [index, source] of sources.entries()) {
      const open = names.filter((_, i) => found[i] === -1);
      const matches = matchesWithin(PATTERN_TIMEOUT_MS, source, "g", open);
      for (const [i, name] of open.entries()) if (matches[i]?.length) found[names.indexOf(name)] = index;
    }
    return found;
  } catch (error) {
    if (!(error instanceof PatternError)) throw error;
    throw malformed(path, field, "valid and fast regular expressions", error.message);
  }
}
