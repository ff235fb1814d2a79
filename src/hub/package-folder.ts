import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { IdlmError } from "../errors.ts";

/** This package's folder: the nearest one above this file with idlm's package.json, in `src` and in `dist`. */
export function packageFolder(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  for (;;) {
    const manifest = join(folder, "package.json");
    if (existsSync(manifest) && (JSON.parse(readFileSync(manifest, "utf8")) as { name?: string }).name === "idlm")
      return folder;
    const parent = dirname(folder);
    if (parent === folder)
      throw new IdlmError("file-missing", { path: "package.json of idlm", hint: "Install the package again." });
    folder = parent;
  }
}
