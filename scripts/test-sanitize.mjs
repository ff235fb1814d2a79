// Runs the tests that reach native code (or those named on the command line) with the addon of build:sanitize.
import { spawnSync } from "node:child_process";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildSanitized } from "./build-sanitize.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
// The contract suite; whole forests and the sampler; the library and the command line over tiny models. Of the engine's
// tests only those that load one: the others compute without native code.
const native = [
  "src/compute/native",
  "src/engine/load/load.test.ts",
  "src/engine/score.test.ts",
  "src/cli/commands/forward.test.ts",
  "test/sampler.test.ts",
  "test/gguf.test.ts",
];

const sanitized = buildSanitized();
if (sanitized === undefined) {
  console.log("test:sanitize skipped: g++ has no libasan or libubsan here");
  process.exit(0);
}
const named = process.argv.slice(2);
const run = spawnSync(
  process.execPath,
  [join(root, "node_modules", "vitest", "vitest.mjs"), "run", ...(named.length > 0 ? named : native)],
  {
    cwd: root,
    stdio: "inherit",
    env: {
      ...process.env,
      LD_PRELOAD: sanitized.preload.join(" "),
      ASAN_OPTIONS: "detect_leaks=0:halt_on_error=1",
      UBSAN_OPTIONS: "halt_on_error=1:print_stacktrace=1",
      IDLM_NATIVE_ADDON: sanitized.addon,
      // Memory and arithmetic are looked at here; that distributions are right `npm test` shows.
      IDLM_DRAWS: "2000",
    },
  },
);
process.exit(run.status ?? 1);
