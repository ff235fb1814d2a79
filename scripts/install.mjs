// Builds the native addon as part of `npm ci`. Where that cannot be done it says what is missing, and the package works
// with its TypeScript reference backend.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { nodeDirArguments } from "./node-headers.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");

function runs(command, args = ["--version"]) {
  const result = spawnSync(command, args, { stdio: "ignore" });
  return result.error === undefined && result.status === 0;
}

function leave(reason, remedy) {
  console.error(`idlm: the native addon was not built: ${reason}.`);
  console.error(`idlm: ${remedy} Then run \`npm run install\`. Until then only the slow --backend reference works.`);
  process.exit(0);
}

if (process.env.IDLM_SKIP_NATIVE === "1") {
  console.error("idlm: IDLM_SKIP_NATIVE=1: the native addon is not built; only --backend reference works.");
  process.exit(0);
}
if (process.platform === "win32") {
  leave("its sources require g++ or clang, not Visual C++", "Use the Windows Subsystem for Linux for the kernels.");
}
if (!runs(process.env.CXX ?? "c++") && !runs("g++") && !runs("clang++")) {
  leave(
    "no C++ compiler was found",
    "Install g++ or clang (Debian: apt-get install g++ make; macOS: xcode-select --install).",
  );
}
if (!runs("make")) leave("make was not found", "Install make (Debian: apt-get install make).");
if (!["python3", "python"].some((name) => runs(name))) {
  leave("Python was not found, which node-gyp needs", "Install it (Debian: apt-get install python3).");
}

let nodeGyp;
try {
  nodeGyp = createRequire(import.meta.url).resolve("node-gyp/bin/node-gyp.js");
} catch {
  leave("node-gyp was not found", "Install the package's dependencies with npm ci.");
}
// In a checkout (which, unlike the published package, has src/), compiler warnings are errors.
const strict = existsSync(join(root, "src")) ? ["--", "-Dstrict=1", "-Dtests=1"] : [];
const args = [nodeGyp, "rebuild", "--jobs=max", "--loglevel=error", ...nodeDirArguments(), ...strict];
console.error("idlm: building the native addon …");
const started = Date.now();
const build = spawnSync(process.execPath, args, { cwd: root, encoding: "utf8", maxBuffer: 1 << 28 });
if (build.status !== 0) {
  console.error(`${build.stdout ?? ""}${build.stderr ?? ""}`.split("\n").slice(-40).join("\n"));
  leave(
    "the build failed, see above",
    "It needs a C++17 compiler, make, Python and Node's headers (downloaded by node-gyp, or from npm_config_nodedir).",
  );
}
console.error(`idlm: built in ${((Date.now() - started) / 1000).toFixed(0)} s`);
