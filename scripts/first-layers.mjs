// Writes a draft model from a GGUF model's first layers: node scripts/first-layers.mjs FROM TO LAYERS
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "tsdown";

const [from, to, layers] = process.argv.slice(2);
if (from === undefined || to === undefined || layers === undefined) {
  console.error("usage: node scripts/first-layers.mjs FROM TO LAYERS");
  process.exit(2);
}
const root = join(import.meta.dirname, "..");
const outDir = await mkdtemp(join(tmpdir(), "idlm-first-layers-"));
try {
  await build({
    config: false,
    cwd: root,
    entry: { layers: join(root, "src/formats/gguf/first-layers.ts") },
    outDir,
    format: "esm",
    platform: "node",
    dts: false,
    logLevel: "error",
  });
  const { writeFirstLayers } = await import(pathToFileURL(join(outDir, "layers.mjs")).href);
  writeFirstLayers(from, to, Number(layers));
} finally {
  await rm(outDir, { recursive: true, force: true });
}
