import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { IdlmError } from "../errors.ts";
import { locatePath } from "./model-path.ts";
import { type NamedModel, nameHint, parseModelName, textOf } from "./model-name.ts";
import { pullEntry } from "./pip/pull-entry.ts";
import type { PullOptions } from "./pull-options.ts";
import { cacheFolder } from "./store/cache-folder.ts";
import { findProblem } from "./store/check-model.ts";
import { cacheError, makeLocksFolder } from "./store/folders.ts";
import { acquireLock } from "./store/lock.ts";
import { catalogueModel, ModelFolder } from "./store/model-folder.ts";

/**
 * Fetches a model into the cache and returns the path to open: a name of the catalogue (at once where it is there),
 * ORG/REPO or ORG/REPO:FILE of the hub (what the revision is now), or a local path, which stays where it is.
 *
 * Whatever happens, nothing unverified lies where models are looked for, what has come of a repository's files stays for
 * the next time, and of several pulls of one model at once the others wait for the first.
 * Errors: "usage", "download" (also where the cache cannot be written to), "checksum", "busy", "file-missing" and
 * "unsupported" (a local path).
 */
export async function pull(model: string, options: PullOptions = {}): Promise<string> {
  const name = parseModelName(model);
  if (options.revision !== undefined && name.kind !== "hub") {
    const problem = "a revision was given, which only a repository of the hub has";
    throw new IdlmError("usage", { problem, hint: "Name it ORG/REPO, or leave the revision out." });
  }
  if (name.kind === "path") {
    if (/^[\w-]+$/.test(model) && !existsSync(model))
      throw new IdlmError("usage", { problem: `${model} is not in the catalogue`, hint: nameHint() });
    return resolve(locatePath(name.path).path);
  }
  return pullNamed(name, options);
}

/** As `pull`, of a name that was read. */
export async function pullNamed(name: NamedModel, options: PullOptions): Promise<string> {
  const { cache = cacheFolder(), signal, onNotice, timing } = options;
  signal?.throwIfAborted();
  const text = textOf(name);
  const folder = ModelFolder.of(cache, text);
  const present = async () => (name.kind === "hub" ? undefined : await presentEntry(name, folder, options));
  try {
    // Before anything is written: a cache that only others write to is as good.
    const path = await present();
    if (path !== undefined) return path;
    const onWait = (holder: string) => onNotice?.(`${text}: ${holder} is fetching it; waiting for that`);
    const lock = await acquireLock(await makeLocksFolder(cache), folder.key, { subject: text, onWait, signal, timing });
    try {
      if (name.kind === "hub") {
        // Its HTTP client takes a fifth of a second to load, which no command pays that fetches nothing.
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

/** The path of a catalogue's model where it is there and right. */
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
