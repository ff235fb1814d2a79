// Builds the addon with AddressSanitizer and UndefinedBehaviorSanitizer into build-sanitize/.
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { nodeDirArguments } from "./node-headers.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const work = join(root, "build-sanitize");

/** The path of one of g++'s libraries; undefined if g++ or the library is missing. */
function library(name) {
  const path = spawnSync("g++", [`-print-file-name=${name}`], { encoding: "utf8" }).stdout?.trim() ?? "";
  return path.includes("/") && existsSync(path) ? path : undefined;
}

/** Builds the addon; returns its path and the libraries to preload. Undefined if g++ has no sanitizers. */
export function buildSanitized() {
  const preload = [library("libasan.so"), library("libubsan.so")];
  if (preload.includes(undefined)) return undefined;
  // node-gyp builds into ./build of its folder; building a copy keeps the normal build.
  rmSync(join(work, "native"), { recursive: true, force: true });
  mkdirSync(work, { recursive: true });
  for (const name of ["binding.gyp", "native", "package.json"])
    cpSync(join(root, name), join(work, name), { recursive: true });
  const nodeGyp = join(root, "node_modules", "node-gyp", "bin", "node-gyp.js");
  const build = spawnSync(
    process.execPath,
    [nodeGyp, "rebuild", "--jobs=max", "--loglevel=error", ...nodeDirArguments(), "--", "-Dsanitize=1", "-Dtests=1"],
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
  return { addon: join(work, "build", "Release", "idlm_native.node"), preload };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  console.log(buildSanitized()?.addon ?? "build:sanitize skipped: g++ has no libasan or libubsan");
}
