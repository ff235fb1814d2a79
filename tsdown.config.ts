import { defineConfig } from "tsdown";

export default defineConfig({
  entry: {
    index: "src/index.ts",
    "cli/main": "src/cli/main.ts",
    "grammar-thread": "src/grammar/thread/worker.ts",
  },
  format: "esm",
  platform: "node",
  target: "node20",
  dts: { sourcemap: false },
  outExtensions: () => ({ js: ".js", dts: ".d.ts" }),
  // How the time of a build is spread over plugins is no warning.
  inputOptions: { checks: { pluginTimings: false } },
  clean: true,
});
