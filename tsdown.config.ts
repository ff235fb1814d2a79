import { defineConfig } from "tsdown";

export default defineConfig({
  entry: {
    index: "src/index.ts",
    "cli/main": "src/cli/main.ts",
    // Started by its path, next to the chunk that starts it.
    "template-process": "src/tokenizer/template-process.js",
  },
  format: "esm",
  platform: "node",
  target: "node20",
  dts: { sourcemap: false },
  outExtensions: () => ({ js: ".js", dts: ".d.ts" }),
  clean: true,
});
