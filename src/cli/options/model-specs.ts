import { readdirSync, statSync } from "node:fs";
import { basename, resolve } from "node:path";
import { IdlmError } from "../../errors.ts";
import { readError } from "../../formats/files/file-error.ts";
import { findEntry, isModelPath } from "../../hub/index.ts";
import type { ModelSpec } from "../../server/models/models.ts";

interface NamingOptions {
  readonly modelsDir?: string;
  readonly adapter?: readonly string[];
  readonly alias?: readonly string[];
}

/** The name of a model without its default adapter. */
const baseName = (name: string) => `${name}:base`;

/**
 * The models that `idlm serve` offers: those of the command line, then those of the folder. Options apply to the first
 * model. @throws IdlmError "usage" if there are none, or two of one name.
 */
export function modelSpecs(sources: readonly string[], options: NamingOptions): readonly ModelSpec[] {
  const { modelsDir, adapter: adapters = [], alias: aliases = [] } = options;
  const found = modelsDir === undefined ? [] : modelsIn(modelsDir);
  const [first, ...others] = [...sources, ...found];
  if (first === undefined) throw usage("no model was given", "Name a model, or a folder of them with --models-dir.");
  const specs = [
    ...specsOf(first, adapters.map(parseAdapter), aliases),
    ...others.flatMap((source) => specsOf(source)),
  ];
  const names = specs.flatMap((spec) => [spec.name, ...spec.aliases]);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw usage(`two models are named ${twice}`, "Rename a file, or use another alias.");
  return specs;
}

interface NamedAdapter {
  /** Undefined: the model's own, in place of the catalogue's. */
  readonly name: string | undefined;
  readonly folder: string;
}

/** "NAME=DIR" or "DIR". */
function parseAdapter(text: string): NamedAdapter {
  const [, name, folder] = /^([\w.:-]+)=(.+)$/s.exec(text) ?? [];
  return folder === undefined ? { name: undefined, folder: text } : { name, folder };
}

function specsOf(source: string, adapters: readonly NamedAdapter[] = [], aliases: readonly string[] = []): ModelSpec[] {
  const name = nameOf(source);
  const folder = adapters.find((adapter) => adapter.name === undefined)?.folder;
  const hasOwn = folder !== undefined || findEntry(source)?.adapter !== undefined;
  return [
    { name, aliases, source, adapter: folder },
    ...(hasOwn ? [{ name: baseName(name), aliases: [], source, adapter: false as const }] : []),
    ...adapters.flatMap(({ name: named, folder }) =>
      named === undefined ? [] : [{ name: named, aliases: [], source, adapter: folder }],
    ),
  ];
}

/** What clients call a model: never a path of this machine. */
function nameOf(source: string): string {
  if (!isModelPath(source)) return source;
  return basename(resolve(source)).replace(/\.gguf$/i, "");
}

/** GGUF files and folders of Hugging Face models in a folder; of a split file the first part. */
function modelsIn(folder: string): string[] {
  try {
    return readdirSync(folder)
      .toSorted()
      .map((name) => resolve(folder, name))
      .filter((path) => isModel(path));
  } catch (error) {
    throw readError(folder, error);
  }
}

function isModel(path: string): boolean {
  const [, part] = /-(\d{5})-of-\d{5}\.gguf$/i.exec(path) ?? [];
  if (part !== undefined && Number(part) !== 1) return false;
  const isFolder = statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
  if (isFolder) return statSync(resolve(path, "config.json"), { throwIfNoEntry: false })?.isFile() ?? false;
  return /\.gguf$/i.test(path);
}

function usage(problem: string, hint: string): IdlmError {
  return new IdlmError("usage", { problem, hint });
}
