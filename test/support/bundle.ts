import { mkdirSync, mkdtempSync } from "node:fs";
import { join } from "node:path";
import { build } from "tsdown";

/**
 * Bundles sources, named from the root, into a new folder and returns it; for tests that need a process or a thread of
 * their own. It is created below node_modules, so that imports resolve. The caller removes it.
 */
export async function bundle(...sources: readonly string[]): Promise<string> {
  const root = join(import.meta.dirname, "../..");
  mkdirSync(join(root, "node_modules", ".cache"), { recursive: true });
  const outDir = mkdtempSync(join(root, "node_modules", ".cache", "idlm-test-"));
  await build({
    config: false,
    cwd: root,
    entry: sources.map((source) => join(root, source)),
    outDir,
    format: "esm",
    platform: "node",
    dts: false,
    logLevel: "silent",
  });
  return outDir;
}
