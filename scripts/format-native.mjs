// Formats the native code with clang-format; with --check it changes nothing and fails if a file is not formatted.
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dirname, "..");
const sources = join(root, "native");
const files = readdirSync(sources, { recursive: true })
  .filter((name) => /\.(cpp|h)$/.test(name))
  .map((name) => join(sources, name));
const mode = process.argv.includes("--check") ? ["--dry-run", "--Werror"] : ["-i"];
const command = join(root, "node_modules", ".bin", "clang-format");
const { status, error } = spawnSync(command, [...mode, ...files], { stdio: "inherit" });
if (error) console.error(`clang-format: ${error.message}; run npm ci`);
process.exit(status ?? 1);
