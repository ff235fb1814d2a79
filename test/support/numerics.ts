import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import { NUMERICS } from "../../src/compute/backend.ts";

const path = join(dirname(fileURLToPath(import.meta.url)), "..", "numerics.json");

/** The committed hashes: the same on every CPU for a value of NUMERICS. */
interface Hashes {
  numerics: number;
  sha256: Record<string, string>;
}

/** SHA-256 of rows of float32 logits, or of ids. */
export function sha256Of(rows: readonly (Float32Array | Int32Array)[]): string {
  const hash = createHash("sha256");
  for (const row of rows) hash.update(new Uint8Array(row.buffer, row.byteOffset, row.byteLength));
  return hash.digest("hex");
}

/** Compares with the committed hash of this name, or updates it with IDLM_UPDATE_NUMERICS=1. */
export function expectCommitted(name: string, sha256: string): void {
  const hashes = JSON.parse(readFileSync(path, "utf8")) as Hashes;
  if (process.env.IDLM_UPDATE_NUMERICS === "1") {
    hashes.numerics = NUMERICS;
    hashes.sha256[name] = sha256;
    hashes.sha256 = Object.fromEntries(Object.entries(hashes.sha256).sort(([a], [b]) => (a < b ? -1 : 1)));
    writeFileSync(path, `${JSON.stringify(hashes, null, 2)}\n`);
  }
  expect(hashes.numerics, "test/numerics.json has another numerics version").toBe(NUMERICS);
  expect(sha256, `${name}: bits have changed; if this is intended, raise NUMERICS`).toBe(hashes.sha256[name]);
}
