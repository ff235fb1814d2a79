import { existsSync } from "node:fs";
import { IdlmError } from "../errors.ts";
import { type NamedModel, parseModelName, textOf } from "./model-name.ts";
import { locatePath, type ModelLocation } from "./model-path.ts";
import { pullNamed } from "./pull.ts";
import type { PullOptions } from "./pull-options.ts";
import { cacheFolder } from "./store/cache-folder.ts";
import { findProblem, problemError } from "./store/check-model.ts";
import { ModelFolder } from "./store/model-folder.ts";
import type { StoredModel } from "./store/stored-model.ts";

export interface ResolveOptions extends Omit<PullOptions, "revision"> {
  /** Whether to download a model that is not in the cache, or damaged there (default: false). */
  readonly pull?: boolean | undefined;
}

/**
 * Resolves MODEL: a name of the catalogue or of the hub in the cache, a GGUF file or a Hugging Face folder. A catalogue
 * name takes precedence over a file of that name, and a file over a repository: write ./NAME for a file.
 * Errors: "file-missing", "checksum" (a damaged file in the cache), "file-malformed", "unsupported"; with `pull` also those
 * of `pull`.
 */
export async function resolveModel(model: string, options: ResolveOptions = {}): Promise<ModelLocation> {
  const name = parseModelName(model);
  if (name.kind === "path") return locatePath(name.path);
  const { stored, folder } = await findStored(name, options);
  const path = folder.entryPath(stored);
  if (stored.kind === "adapter" || stored.kind === "file") {
    const feature = stored.kind === "adapter" ? "an adapter as a model" : "this file as a model";
    const hint = stored.kind === "adapter" ? "Name its base model, and this as its adapter." : "Name a GGUF file.";
    throw new IdlmError("unsupported", { path, feature, hint });
  }
  const { digest } = stored.files.find((file) => file.path === stored.entry) ?? {};
  return {
    kind: stored.kind,
    path,
    ...(name.kind === "catalogue" && { catalogueEntry: name.entry }),
    ...(digest?.algorithm === "sha256" && stored.files.length === 1 && { sha256: digest.hex }),
  };
}

/** Resolves an adapter folder: a path, or a repository of the hub. Errors: those of `resolveModel`. */
export async function resolveAdapter(adapter: string, options: ResolveOptions = {}): Promise<string> {
  const name = parseModelName(adapter);
  // Catalogue names are models, not adapters.
  if (name.kind !== "hub" || existsSync(adapter)) return adapter;
  const { stored, folder } = await findStored(name, options);
  const path = folder.entryPath(stored);
  if (stored.kind === "adapter") return path;
  throw new IdlmError("unsupported", { path, feature: "a repository without an adapter as an adapter" });
}

/**
 * The path of a model, an adapter or another file, without reading or verifying it.
 * Errors: "file-missing", "file-malformed" (the cache's manifest).
 */
export function locateUnchecked(text: string, cache: string = cacheFolder()): string {
  const name = parseModelName(text);
  if (name.kind === "path") return locatePath(name.path).path;
  const folder = ModelFolder.of(cache, textOf(name));
  const stored = folder.read();
  if (stored === undefined) throw new IdlmError("file-missing", { path: text, hint: fetchHint(text) });
  return folder.entryPath(stored);
}

/** A verified model of the cache. */
async function findStored(
  name: NamedModel,
  { pull, ...options }: ResolveOptions,
): Promise<{ stored: StoredModel; folder: ModelFolder }> {
  const { cache = cacheFolder(), signal, onProgress, onNotice } = options;
  const text = textOf(name);
  const folder = ModelFolder.of(cache, text);
  let stored: StoredModel | undefined;
  let failure: IdlmError | undefined;
  try {
    stored = folder.read();
    const bytesTotal = stored?.files.reduce((sum, { nBytes }) => sum + nBytes, 0) ?? 0;
    const report = (bytesDone: number) => onProgress?.({ stage: "verify", bytesDone, bytesTotal });
    const problem = stored && (await findProblem(folder, stored, { onProgress: report, signal }));
    if (problem !== undefined) failure = problemError(folder, problem, fetchHint(text));
  } catch (error) {
    if (!(error instanceof IdlmError)) throw error;
    failure = error;
  }
  if (stored !== undefined && failure === undefined) return { stored, folder };
  failure ??= new IdlmError("file-missing", { path: text, hint: fetchHint(text) });
  if (pull !== true) throw failure;
  if (failure.code !== "file-missing") onNotice?.(`${failure.message} Downloading it again.`);
  const revision = stored?.source.kind === "hub" ? stored.source.revision : undefined;
  await pullNamed(name, { ...options, revision });
  return findStored(name, options);
}

function fetchHint(name: string): string {
  return `Download it with: idlm pull ${name}`;
}
