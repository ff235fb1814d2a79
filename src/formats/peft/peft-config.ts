import { IdlmError } from "../../errors.ts";
import { type JsonObject, kindOf, readJsonObject, requireObject } from "../files/json.ts";
import { malformed, quote } from "../files/malformed.ts";
import { ruleOf } from "../keys/key-table.ts";
import { peftKeys } from "../keys/peft-keys.ts";
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
  /** Like targetModules: modules that are no targets nevertheless. */
  readonly excludeModules: readonly string[] | string;
  /** Undefined: all layers. Only for suffixes of names. */
  readonly layersToTransform: readonly number[] | undefined;
  /** Names before the number of a layer; any if there are none. */
  readonly layersPattern: readonly string[];
  readonly baseModel: string | undefined;
}

/** A config takes a few KB; with rank patterns for every module of a large model, some hundred KB. */
const MAX_CONFIG_BYTES = 4 * 1024 * 1024;
const MAX_RANK = 65_536;
const MAX_ALPHA = 1e9;
/** An untrusted pattern may take exponential time; real ones take microseconds. */
const PATTERN_TIMEOUT_MS = 250;

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
    excludeModules: readExcluded(json.exclude_modules, path),
    layersToTransform: readLayers(json.layers_to_transform, path),
    layersPattern: readLayersPattern(json.layers_pattern, path),
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
    const rule = ruleOf(peftKeys, key);
    if ((rule !== undefined && rule.use !== "refused") || isOff(value)) continue;
    throw refuse(`${key.slice(0, 80)} ${kindOf(value)}`);
  }
}

function isOff(value: unknown): boolean {
  if (value === null || value === undefined || value === false) return true;
  return typeof value === "object" && Object.keys(value).length === 0;
}

function readCount(value: unknown, path: string, field: string, max: number): number {
  if (typeof value !== "number" || !Number.isInteger(value) || value < 1 || value > max) {
    throw malformed(path, field, `a whole number from 1 to ${max}`, kindOf(value));
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

function readExcluded(value: unknown, path: string): readonly string[] | string {
  if (value === undefined || value === null) return [];
  if (typeof value === "string") return value === "" ? [] : value;
  if (Array.isArray(value) && value.every((name): name is string => typeof name === "string")) return value;
  throw malformed(path, "exclude_modules", "module names, or a pattern", kindOf(value));
}

function readLayersPattern(value: unknown, path: string): readonly string[] {
  const patterns: unknown[] = Array.isArray(value) ? value : value === undefined || value === null ? [] : [value];
  return patterns.map((pattern) => {
    if (typeof pattern === "string" && /^\w+$/.test(pattern)) return pattern;
    throw malformed(path, "layers_pattern", "names of lists of layers", kindOf(pattern));
  });
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
  if (!layers.every(isLayer)) throw malformed(path, "layers_to_transform", "layer numbers", kindOf(value));
  return layers.length === 0 ? undefined : layers;
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
  const sources = patterns.map(([pattern]) => pattern);
  return runPatterns(sources, "(?:.*\\.)?", names, path, field).map((index) => patterns[index]?.[1]);
}

/** Whether each module is a target, by PEFT's rules (`check_target_module_exists`). */
export function matchTargets(config: PeftConfig, names: readonly string[], path: string): boolean[] {
  const { targetModules: targets, excludeModules: excluded, layersToTransform: layers } = config;
  const areExcluded =
    typeof excluded === "string"
      ? runPatterns([excluded], "", names, path, "exclude_modules").map((index) => index >= 0)
      : names.map((name) => endsWithOne(name, excluded));
  if (targets === "all-linear") return areExcluded.map((is) => !is);
  if (typeof targets === "string") {
    const found = runPatterns([targets], "", names, path, "target_modules");
    return found.map((index, i) => index >= 0 && areExcluded[i] === false);
  }
  return names.map((name, i) => {
    if (areExcluded[i] === true) return false;
    if (targets.includes(name)) return true;
    return endsWithOne(name, targets) && (layers === undefined || layers.includes(layerOf(name, config.layersPattern)));
  });
}

function endsWithOne(name: string, suffixes: readonly string[]): boolean {
  return suffixes.some((suffix) => name === suffix || name.endsWith(`.${suffix}`));
}

/** The number of a module's layer; −1 if it has none. */
function layerOf(name: string, patterns: readonly string[]): number {
  const found =
    patterns.length === 0
      ? /^.*\.[^.]*\.(\d+)\./.exec(name)
      : patterns
          .map((pattern) => new RegExp(`^.*\\.${pattern}\\.(\\d+)\\.`).exec(name))
          .find((match) => match !== null);
  return found?.[1] === undefined ? -1 : Number(found[1]);
}

/** Python's syntax in JavaScript's: options of the whole pattern, and names of groups. */
function fromPython(pattern: string): { readonly source: string; readonly flags: string } {
  const [options = "", letters = ""] = /^\(\?([aimsu]+)\)/.exec(pattern) ?? [];
  const source = pattern
    .slice(options.length)
    .replace(/\(\?P</g, "(?<")
    .replace(/\(\?P=(\w+)\)/g, "\\k<$1>")
    .replace(/\\Z/g, "$");
  return { source, flags: `g${[...new Set(letters.replace(/[au]/g, ""))].join("")}` };
}

/** Index of the first pattern that matches each name, after what matches `before`, or −1. */
function runPatterns(
  patterns: readonly string[],
  before: string,
  names: readonly string[],
  path: string,
  field: string,
): number[] {
  const found = names.map(() => -1);
  try {
    for (const [index, pattern] of patterns.entries()) {
      const { source, flags } = fromPython(pattern);
      const open = names.filter((_, i) => found[i] === -1);
      const matches = matchesWithin(PATTERN_TIMEOUT_MS, `^${before}(?:${source})$`, flags, open);
      for (const [i, name] of open.entries()) if (matches[i]?.length) found[names.indexOf(name)] = index;
    }
    return found;
  } catch (error) {
    if (!(error instanceof PatternError)) throw error;
    throw malformed(path, field, "valid and fast regular expressions", error.message);
  }
}
