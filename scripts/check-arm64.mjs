// Compiles the native code for arm64 (objects only) with whichever cross compiler is there; says so where none is.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
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
const files = [...readdirSync(sources).filter((name) => name.endsWith(".cpp")), join("kernels", "isa_scalar.cpp")];
const folder = mkdtempSync(join(tmpdir(), "idlm-arm64-"));
let failed = 0;
for (const file of files) {
  const [command, ...flags] = compiler;
  const args = [
    ...flags,
    "-std=c++17",
    "-O3",
    "-ffp-contract=off",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-DNAPI_CPP_EXCEPTIONS",
    "-DNAPI_VERSION=8",
  ];
  for (const path of [join(root, headers), headers, ...nodeHeaders]) args.push("-I", path.replaceAll('"', ""));
  const result = spawnSync(command, [...args, "-c", join(sources, file), "-o", join(folder, "out.o")], {
    encoding: "utf8",
  });
  if (result.status !== 0) {
    failed++;
    console.error(`${file}:\n${result.stderr}`);
  }
}
rmSync(folder, { recursive: true });
console.log(`check:arm64: ${files.length - failed} of ${files.length} files compile with ${compiler.join(" ")}`);
process.exit(failed === 0 ? 0 : 1);
