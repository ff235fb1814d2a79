// Quantises an adapter folder to 8 bits: node scripts/quantise-adapter.mjs FROM TO
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "tsdown";

const [from, to] = process.argv.slice(2);
if (from === undefined || to === undefined) {
  console.error("usage: node scripts/quantise-adapter.mjs FROM TO");
  process.exit(2);
}
const root = join(import.meta.dirname, "..");
const outDir = await mkdtemp(join(tmpdir(), "idlm-quantise-"));
try {
  const entry = { quantise: join(root, "src/formats/adapter/quantise-adapter.ts") };
  await build({
    config: false,
    cwd: root,
    entry,
    outDir,
    format: "esm",
    platform: "node",
    dts: false,
    logLevel: "error",
  });
  const { quantiseAdapter } = await import(pathToFileURL(join(outDir, "quantise.mjs")).href);
  quantiseAdapter(from, to);
} finally {
  await rm(outDir, { recursive: true, force: true });
}
