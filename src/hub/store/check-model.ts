import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { IdlmError } from "../../errors.ts";
import { readError } from "../../formats/files/file-error.ts";
import { malformed, quote } from "../../formats/files/malformed.ts";
import { type CheckOptions, checkFile, lookAt } from "./check-file.ts";
import { algorithmName } from "./digest.ts";
import type { ModelFolder } from "./model-folder.ts";
import { Stamps } from "./stamps.ts";
import type { StoredFile, StoredModel } from "./stored-model.ts";

/** What keeps a model from being used. */
export type ModelProblem =
  | { readonly kind: "missing"; readonly file: StoredFile }
  | { readonly kind: "wrong"; readonly file: StoredFile; readonly found: string }
  /** A reader of the folder could take it for a part of the model. */
  | { readonly kind: "foreign"; readonly path: string };

/**
 * Looks for what is wrong with a model in the cache; undefined: nothing. Files that look as they did when they were found
 * right are not read again. `onProgress` counts the bytes of all files that are.
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
    const seen = await lookAt(path);
    if (seen?.isFile && stamps.has(file, seen.stamp)) continue;
    const before = done;
    const result = await checkFile(path, file, { onProgress: (bytes) => onProgress?.(before + bytes), signal });
    if (result.state === "missing") return { kind: "missing", file };
    if (result.state === "wrong") return { kind: "wrong", file, found: result.found };
    stamps.set(file, result.stamp);
    isNew = true;
    done += file.nBytes;
  }
  if (isNew) await stamps.save(model.files);
  return undefined;
}

/** A model's state as far as can be told without reading its files. */
export async function glance(folder: ModelFolder, model: StoredModel): Promise<"ready" | "unchecked" | "damaged"> {
  if ((await findForeign(folder, model)) !== undefined) return "damaged";
  const stamps = new Stamps(folder.path);
  let state: "ready" | "unchecked" = "ready";
  for (const file of model.files) {
    const seen = await lookAt(folder.pathOf(file));
    if (seen === undefined || !seen.isFile || seen.stamp.nBytes !== String(file.nBytes)) return "damaged";
    if (!stamps.has(file, seen.stamp)) state = "unchecked";
  }
  return state;
}

/** The error for a problem. `hint` says how to get the model again. */
export function problemError(folder: ModelFolder, problem: ModelProblem, hint: string): IdlmError {
  if (problem.kind === "foreign")
    return malformed(problem.path, "place", "nothing but what was fetched in this folder", "a file from elsewhere");
  const path = folder.pathOf(problem.file);
  if (problem.kind === "missing") return new IdlmError("file-missing", { path, hint });
  const { digest } = problem.file;
  const parameters = { path, algorithm: algorithmName(digest), found: problem.found, expected: digest.hex, hint };
  return new IdlmError("checksum", parameters);
}

/**
 * A model that is a folder is read by what lies in it: one more file there could change what it says. Names with a dot
 * in front are what desktops leave behind, and nobody reads them.
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
    if (code === "ENOENT" || code === "ENOTDIR") return undefined; // its files are missing, which is said elsewhere
    throw readError(path, error);
  }
}
