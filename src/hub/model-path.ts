import { type Stats, statSync } from "node:fs";
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
    throw new IdlmError("file-missing", {
      path: join(path, "config.json"),
      hint: "A model folder has config.json and model.safetensors.",
    });
  }
  return { kind: "huggingface", path };
}

function statOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch (error) {
    throw readError(path, error);
  }
}
