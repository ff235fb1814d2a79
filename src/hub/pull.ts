import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { IdlmError } from "../errors.ts";
import { type NamedModel, nameHint, parseModelName, textOf } from "./model-name.ts";
import { locatePath } from "./model-path.ts";
import { pullEntry } from "./pip/pull-entry.ts";
import type { PullOptions } from "./pull-options.ts";
import { cacheFolder } from "./store/cache-folder.ts";
import { findProblem } from "./store/check-model.ts";
import { cacheError, makeLocksFolder } from "./store/folders.ts";
import { acquireLock } from "./store/lock.ts";
import { catalogueModel, ModelFolder } from "./store/model-folder.ts";

/**
 * Downloads a model into the cache and returns the path to open. `model` is a catalogue name (not downloaded again if
 * cached), ORG/REPO or ORG/REPO:FILE of the hub (the revision's current commit), or a local path, which is returned.
 *
 * Unverified files never appear where models are looked up, partial downloads from a repository are kept, and concurrent
 * pulls of one model wait for the first.
 * Errors: "usage", "download" (also where the cache cannot be written to), "checksum", "busy", "file-missing" and
 * "unsupported" (a local path).
 */
export async function pull(model: string, options: PullOptions = {}): Promise<string> {
  const name = parseModelName(model);
  if (options.revision !== undefined && name.kind !== "hub") {
    const problem = "only a repository of the hub has revisions";
    throw new IdlmError("usage", { problem, hint: "Name it ORG/REPO, or leave out the revision." });
  }
  if (name.kind === "path") {
    if (/^[\w-]+$/.test(model) && !existsSync(model))
      throw new IdlmError("usage", { problem: `${model} is not in the catalogue`, hint: nameHint() });
    return resolve(locatePath(name.path).path);
  }
  return pullNamed(name, options);
}

/** `pull` of a parsed name. */
export async function pullNamed(name: NamedModel, options: PullOptions): Promise<string> {
  const { cache = cacheFolder(), signal, onNotice, timing } = options;
  signal?.throwIfAborted();
  const text = textOf(name);
  const folder = ModelFolder.of(cache, text);
  const present = async () => (name.kind === "hub" ? undefined : await presentEntry(name, folder, options));
  try {
    // Before anything is written, so that a read-only cache works.
    const path = await present();
    if (path !== undefined) return path;
    const onWait = (holder: string) => onNotice?.(`${text}: waiting for ${holder}, which is downloading it`);
    const lock = await acquireLock(await makeLocksFolder(cache), folder.key, { subject: text, onWait, signal, timing });
    try {
      if (name.kind === "hub") {
        // Imported only when needed: its HTTP client takes 0.2 s to load.
        const { pullRepository } = await import("./huggingface/pull-repository.ts");
        return await pullRepository(name, folder, lock, options);
      }
      return (await present()) ?? (await pullEntry(name.entry, folder, options));
    } finally {
      await lock.release();
    }
  } catch (error) {
    signal?.throwIfAborted();
    throw cacheError(text, cache, error);
  }
}

/** The path of a catalogue model if it is cached and verified. */
async function presentEntry(
  { entry }: NamedModel & { readonly kind: "catalogue" },
  folder: ModelFolder,
  { onProgress, signal }: PullOptions,
): Promise<string | undefined> {
  const model = catalogueModel(entry);
  const report = (bytesDone: number) => onProgress?.({ stage: "verify", bytesDone, bytesTotal: entry.file.nBytes });
  const problem = await findProblem(folder, model, { onProgress: report, signal });
  return problem === undefined ? folder.entryPath(model) : undefined;
}
