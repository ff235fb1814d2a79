import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { IdlmError } from "../../errors.ts";
import { readError } from "../../formats/files/file-error.ts";
import { malformed, quote } from "../../formats/files/malformed.ts";
import { type CheckOptions, checkFile, fileStatus } from "./check-file.ts";
import { algorithmName } from "./digest.ts";
import type { ModelFolder } from "./model-folder.ts";
import { Stamps } from "./stamps.ts";
import type { StoredFile, StoredModel } from "./stored-model.ts";

/** A reason not to use a model. */
export type ModelProblem =
  | { readonly kind: "missing"; readonly file: StoredFile }
  | { readonly kind: "invalid"; readonly file: StoredFile; readonly found: string }
  /** An extra file that a reader of the folder could take for a part of the model. */
  | { readonly kind: "foreign"; readonly path: string };

/**
 * Verifies a model in the cache; undefined if it is valid. Files that have not changed since they were verified are not
 * read again. `onProgress` counts the bytes of all files that are read.
 */
export async function findProblem(
  folder: ModelFolder,
  model: StoredModel,
  { onProgress, signal }: CheckOptions = {},
): Promise<ModelProblem | undefined> {
  const foreign = await findForeign(folder, model);
  if (foreign !== undefined) return { kind: "foreign", path: foreign };
  const stamps = new Stamps(folder.path);
  let done = 0;
  let isNew = false;
  for (const file of model.files) {
    const path = folder.pathOf(file);
    const status = await fileStatus(path);
    if (status?.isFile && stamps.has(file, status.stamp)) continue;
    const before = done;
    const result = await checkFile(path, file, { onProgress: (bytes) => onProgress?.(before + bytes), signal });
    if (result.state === "missing") return { kind: "missing", file };
    if (result.state === "invalid") return { kind: "invalid", file, found: result.found };
    stamps.set(file, result.stamp);
    isNew = true;
    done += file.nBytes;
  }
  if (isNew) await stamps.save(model.files);
  return undefined;
}

/** A model's state, without reading its files. */
export async function quickState(folder: ModelFolder, model: StoredModel): Promise<"ready" | "unchecked" | "damaged"> {
  if ((await findForeign(folder, model)) !== undefined) return "damaged";
  const stamps = new Stamps(folder.path);
  let state: "ready" | "unchecked" = "ready";
  for (const file of model.files) {
    const status = await fileStatus(folder.pathOf(file));
    if (status === undefined || !status.isFile || status.stamp.nBytes !== String(file.nBytes)) return "damaged";
    if (!stamps.has(file, status.stamp)) state = "unchecked";
  }
  return state;
}

/** The error for a problem. `hint` says how to download the model again. */
export function problemError(folder: ModelFolder, problem: ModelProblem, hint: string): IdlmError {
  if (problem.kind === "foreign")
    return malformed(problem.path, "folder content", "only the downloaded files", "an extra file");
  const path = folder.pathOf(problem.file);
  if (problem.kind === "missing") return new IdlmError("file-missing", { path, hint });
  const { digest } = problem.file;
  const parameters = { path, algorithm: algorithmName(digest), found: problem.found, expected: digest.hex, hint };
  return new IdlmError("checksum", parameters);
}

/**
 * An extra file in a model folder. Such a file could change how the model is read (by adding an adapter config, say).
 * Hidden files are ignored: desktops create them, and no reader uses them.
 */
async function findForeign(folder: ModelFolder, { kind, entry, files }: StoredModel): Promise<string | undefined> {
  if (kind !== "huggingface" && kind !== "adapter") return undefined;
  const path = join(folder.path, entry);
  const known = new Set(files.map((file) => file.path.split("/")[1]));
  try {
    const foreign = (await readdir(path)).find((name) => !name.startsWith(".") && !known.has(name));
    return foreign === undefined ? undefined : `${path}: ${quote(foreign)}`;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined; // reported elsewhere, as missing files
    throw readError(path, error);
  }
}
