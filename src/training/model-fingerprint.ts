import { createHash } from "node:crypto";
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { readError } from "../formats/files/file-error.ts";
import { sha256File } from "../formats/files/sha256.ts";
import type { ModelLocation } from "../hub/index.ts";

/** Files of a folder that a model is read from; not idlm_config.json, which says how it was trained, and when. */
const MODEL_FILE = /^(?!idlm_config\.json$).*\.(?:safetensors|json|jinja|model|txt)$/;

/**
 * SHA-256 by which training data and adapters know their model: of a GGUF file; of a folder over the names and hashes of
 * its files, in the form of sha256sum. Errors: "file-missing", "file-unreadable"; the signal's reason.
 */
export async function modelFingerprint(location: ModelLocation, signal?: AbortSignal): Promise<string> {
  const { kind, path, sha256 } = location;
  if (sha256 !== undefined) return sha256;
  if (kind === "gguf") return sha256File(path, undefined, signal);
  const hash = createHash("sha256");
  for (const name of modelFiles(path))
    hash.update(`${await sha256File(join(path, name), undefined, signal)}  ${name}\n`);
  return hash.digest("hex");
}

/** Sizes and times of a model's files: the same as long as nobody writes to them. Errors: "file-unreadable". */
export function modelStamp({ kind, path }: ModelLocation): string {
  const files = kind === "gguf" ? [path] : modelFiles(path).map((name) => join(path, name));
  return files
    .map((file) => {
      try {
        const { size, ino, mtimeNs } = statSync(file, { bigint: true });
        return `${file} ${size} ${ino} ${mtimeNs}`;
      } catch (error) {
        throw readError(file, error);
      }
    })
    .join("\n");
}

function modelFiles(folder: string): string[] {
  try {
    return readdirSync(folder)
      .filter((name) => MODEL_FILE.test(name))
      .sort();
  } catch (error) {
    throw readError(folder, error);
  }
}
