// Compiles the native code for arm64 (objects only) with an installed cross compiler; skipped with a message if there is
// none. Does not optimise, which would take several times as long; the x86 build catches warnings of the optimiser.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const sources = join(root, "native", "src");
const compilers = [["aarch64-linux-gnu-g++"], ["clang++", "--target=aarch64-linux-gnu"]];
const works = ([command, ...flags]) =>
  spawnSync(command, [...flags, "-std=c++17", "-x", "c++", "-fsyntax-only", "-"], { input: "#include <vector>\n" })
    .status === 0;
const compiler = compilers.find(works);
if (compiler === undefined) {
  console.log("check:arm64 skipped: no compiler for arm64 (Debian: apt-get install g++-aarch64-linux-gnu)");
  process.exit(0);
}
const headers = createRequire(import.meta.url)("node-addon-api").include_dir;
const nodeHeaders = [
  join(dirname(dirname(process.execPath)), "include", "node"),
  ...(process.env.npm_config_nodedir ? [join(process.env.npm_config_nodedir, "include", "node")] : []),
  "/usr/include/node",
];
const files = readdirSync(sources, { recursive: true }).filter(
  (name) => name.endsWith(".cpp") && !/isa_avx/.test(name),
);
const folder = mkdtempSync(join(tmpdir(), "idlm-arm64-"));
const [command, ...flags] = compiler;
const options = ["-std=c++17", "-O0", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror"];
const defines = ["-DNAPI_CPP_EXCEPTIONS", "-DNAPI_VERSION=8"];
const includes = [sources, join(root, headers), headers, ...nodeHeaders].flatMap((path) => [
  "-I",
  path.replaceAll('"', ""),
]);
let failed = 0;

async function compile(file) {
  const output = join(folder, `${file.replaceAll(/\W/g, "-")}.o`);
  const args = [...flags, ...options, ...defines, ...includes, "-c", join(sources, file), "-o", output];
  const child = spawn(command, args, { stdio: ["ignore", "ignore", "pipe"] });
  let messages = "";
  child.stderr.on("data", (chunk) => {
    messages += chunk;
  });
  const [status] = await once(child, "close");
  if (status === 0) return;
  failed++;
  console.error(`${file}:\n${messages}`);
}

const queue = files.values();
const work = async () => {
  for (const file of queue) await compile(file);
};
await Promise.all(Array.from({ length: availableParallelism() }, work));
rmSync(folder, { recursive: true });
console.log(`check:arm64: ${files.length - failed} of ${files.length} files compile with ${compiler.join(" ")}`);
process.exit(failed === 0 ? 0 : 1);
