// Runs the tests of native code (or those named on the command line) with the addon of build:sanitize.
import { spawnSync } from "node:child_process";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildSanitized } from "./build-sanitize.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
// The contract suite, the sampler, and the library and the command line with tiny models. The engine's other tests do not
// run native code.
const native = [
  "src/compute/native",
  "src/engine/load/load.test.ts",
  "src/engine/score.test.ts",
  "src/cli/commands/forward.test.ts",
  "test/sampler.test.ts",
  "test/gguf.test.ts",
  "test/medusa.test.ts",
  "test/worker-threads.test.ts",
];

const sanitized = buildSanitized();
if (sanitized === undefined) {
  console.log("test:sanitize skipped: g++ has no libasan or libubsan");
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
      // Fewer draws: these runs check memory and arithmetic; `npm test` checks the distributions.
      IDLM_DRAWS: "2000",
    },
  },
);
process.exit(run.status ?? 1);
