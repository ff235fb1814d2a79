import { readdirSync, type Stats, statSync } from "node:fs";
import { join } from "node:path";
import { IdlmError } from "../errors.ts";
import { readError } from "../formats/files/file-error.ts";
import type { CatalogueEntry } from "./catalogue.ts";
import { nameHint } from "./model-name.ts";

/** A resolved MODEL argument. */
export interface ModelLocation {
  /** A GGUF file, or a folder with `config.json` and safetensors. */
  readonly kind: "gguf" | "huggingface";
  readonly path: string;
  /** For a catalogue name. */
  readonly catalogueEntry?: CatalogueEntry;
  /** Of a model that is a single file, in hexadecimal, if already known. */
  readonly sha256?: string;
}

/** Determines what kind of model a path is. Errors: "file-missing", "file-unreadable", "unsupported" (neither kind). */
export function locatePath(path: string): ModelLocation {
  const found = statOf(path);
  if (found === undefined) throw new IdlmError("file-missing", { path, hint: nameHint() });
  if (!found.isDirectory()) {
    // The reader checks the content; here only file types that are certainly wrong are rejected.
    if (!/\.(safetensors|json|bin|pt|pth)$/i.test(path)) return { kind: "gguf", path };
    throw new IdlmError("unsupported", {
      path,
      feature: "this file as a model",
      hint: "Name a GGUF file, or the folder with config.json.",
    });
  }
  if (statOf(join(path, "config.json")) === undefined) {
    const gguf = ggufFileIn(path);
    const hint =
      gguf === undefined
        ? "A model folder has config.json and model.safetensors."
        : `Name the file ${join(path, gguf)}.`;
    throw new IdlmError("file-missing", { path: join(path, "config.json"), hint });
  }
  return { kind: "huggingface", path };
}

/** A folder with one GGUF file is easily named in place of the file. */
function ggufFileIn(folder: string): string | undefined {
  try {
    const files = readdirSync(folder).filter((name) => /\.gguf$/i.test(name));
    return files.length === 1 ? files[0] : undefined;
  } catch {
    return undefined;
  }
}

function statOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch (error) {
    throw readError(path, error);
  }
}
