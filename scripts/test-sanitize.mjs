// Builds the addon with AddressSanitizer and UndefinedBehaviorSanitizer beside the ordinary one and runs the tests of
// native code with it.
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { nodeDirArguments } from "./node-headers.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const work = join(root, "build-sanitize");
const library = (name) => spawnSync("g++", [`-print-file-name=${name}`], { encoding: "utf8" }).stdout?.trim() ?? "";
const asan = library("libasan.so");
if (!asan.includes("/") || !existsSync(asan)) {
  console.log("test:sanitize skipped: g++ has no libasan here");
  process.exit(0);
}
// node-gyp builds into ./build of its folder: a copy of what it needs keeps the ordinary build in its place.
rmSync(join(work, "native"), { recursive: true, force: true });
mkdirSync(work, { recursive: true });
for (const name of ["binding.gyp", "native", "package.json"])
  cpSync(join(root, name), join(work, name), { recursive: true });
const gyp = join(root, "node_modules", "node-gyp", "bin", "node-gyp.js");
const build = spawnSync(
  process.execPath,
  [gyp, "rebuild", "--jobs=max", "--loglevel=error", ...nodeDirArguments(), "--", "-Dsanitize=1"],
  {
    cwd: work,
    env: { ...process.env, NODE_PATH: join(root, "node_modules"), CXX: "g++", CC: "gcc" },
    encoding: "utf8",
    maxBuffer: 1 << 28,
  },
);
if (build.status !== 0) {
  console.error(`${build.stdout}${build.stderr}`);
  process.exit(1);
}
const tests = process.argv.slice(2);
const run = spawnSync(
  process.execPath,
  [join(root, "node_modules", "vitest", "vitest.mjs"), "run", ...(tests.length > 0 ? tests : ["src/compute/native"])],
  {
    cwd: root,
    stdio: "inherit",
    env: {
      ...process.env,
      LD_PRELOAD: `${asan} ${library("libubsan.so")}`,
      ASAN_OPTIONS: "detect_leaks=0:halt_on_error=1",
      UBSAN_OPTIONS: "halt_on_error=1:print_stacktrace=1",
      IDLM_NATIVE_ADDON: join(work, "build", "Release", "idlm_native.node"),
    },
  },
);
process.exit(run.status ?? 1);
