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
  /** Whether a name is fetched where it is not in the cache, or damaged there. Default: false. */
  readonly pull?: boolean | undefined;
}

/**
 * What MODEL stands for: a name of the catalogue or of the hub in the cache, a GGUF file or a Hugging Face folder. A
 * catalogue's name goes before a file of that name, a file before a hub's: write ./NAME for the file.
 * Errors: "file-missing", "checksum" (a file in the cache is another one), "file-malformed", "unsupported"; with `pull`
 * those of `pull`.
 */
export async function resolveModel(model: string, options: ResolveOptions = {}): Promise<ModelLocation> {
  const name = parseModelName(model);
  if (name.kind === "path") return locatePath(name.path);
  const { stored, folder } = await findStored(name, options);
  const path = folder.entryPath(stored);
  if (stored.kind === "adapter" || stored.kind === "file") {
    const feature = stored.kind === "adapter" ? "an adapter as a model" : "this file as a model";
    const hint = stored.kind === "adapter" ? "Name its base model, and this with --adapter." : "Name a GGUF file.";
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

/** The folder of an adapter: a path, or the name of a hub's repository. Errors as of `resolveModel`. */
export async function resolveAdapter(adapter: string, options: ResolveOptions = {}): Promise<string> {
  const name = parseModelName(adapter);
  // A name of the catalogue is none of an adapter.
  if (name.kind !== "hub" || existsSync(adapter)) return adapter;
  const { stored, folder } = await findStored(name, options);
  const path = folder.entryPath(stored);
  if (stored.kind === "adapter") return path;
  throw new IdlmError("unsupported", { path, feature: "a repository without an adapter as one" });
}

/**
 * Where a model, an adapter or a file lies, whatever it holds: nothing of it is read, so nothing is known to be right.
 * Errors: "file-missing", "file-malformed" (the cache's own record).
 */
export function locateUnchecked(text: string, cache: string = cacheFolder()): string {
  const name = parseModelName(text);
  if (name.kind === "path") return locatePath(name.path).path;
  const folder = ModelFolder.of(cache, textOf(name));
  const stored = folder.read();
  if (stored === undefined) throw new IdlmError("file-missing", { path: text, hint: fetchHint(text) });
  return folder.entryPath(stored);
}

/** A named model of the cache, whole and right. */
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
  if (failure.code !== "file-missing") onNotice?.(`${failure.message} It is fetched again.`);
  const revision = stored?.source.kind === "hub" ? stored.source.revision : undefined;
  await pullNamed(name, { ...options, revision });
  return findStored(name, options);
}

function fetchHint(name: string): string {
  return `Fetch it with: idlm pull ${name}`;
}
