import { type Stats, statSync } from "node:fs";
import { join } from "node:path";
import { IdlmError } from "../errors.ts";
import { readError } from "../formats/files/file-error.ts";
import type { CatalogueEntry } from "./catalogue.ts";
import { nameHint } from "./model-name.ts";

/** What a user's MODEL stands for. */
export interface ModelLocation {
  /** A GGUF file, or a folder with `config.json` and safetensors. */
  readonly kind: "gguf" | "huggingface";
  readonly path: string;
  /** For a name of the catalogue. */
  readonly catalogueEntry?: CatalogueEntry;
  /** Of the one file that the model is, in hexadecimal, where it is known already. */
  readonly sha256?: string;
}

/** A path as a model. Errors: "file-missing", "file-unreadable", "unsupported" (neither of the two kinds). */
export function locatePath(path: string): ModelLocation {
  const found = statOf(path);
  if (found === undefined) throw new IdlmError("file-missing", { path, hint: nameHint() });
  if (!found.isDirectory()) {
    // Its content is looked at by the reader; only what is sure to be wrong is named here.
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
      hint: "A model folder holds it, and model.safetensors.",
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
