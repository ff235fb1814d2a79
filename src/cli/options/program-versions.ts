import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import packageJson from "../../../package.json" with { type: "json" };

/** The package's version, and in a checkout its commit: recorded with adapters. */
export function programVersions(): Record<string, string> {
  const root = join(import.meta.dirname, "../../..");
  const idlm = packageJson.version;
  if (!existsSync(join(root, ".git"))) return { idlm };
  try {
    const commit = execFileSync("git", ["-C", root, "rev-parse", "HEAD"], { encoding: "utf8", stdio: "pipe" });
    return { idlm, commit: commit.trim() };
  } catch {
    // Git is not installed.
    return { idlm };
  }
}
