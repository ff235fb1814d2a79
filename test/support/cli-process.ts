import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync } from "node:fs";
import { join } from "node:path";
import { build } from "tsdown";

/**
 * Bundles the current command line and returns its path; for tests that need a separate process, to kill it.
 * It is created below node_modules, so that its imports resolve. The caller removes its folder.
 */
export async function bundleCli(): Promise<string> {
  const root = join(import.meta.dirname, "../..");
  mkdirSync(join(root, "node_modules", ".cache"), { recursive: true });
  const outDir = mkdtempSync(join(root, "node_modules", ".cache", "idlm-cli-"));
  const entry = join(root, "src/cli/main.ts");
  await build({
    config: false,
    cwd: root,
    entry,
    outDir,
    format: "esm",
    platform: "node",
    dts: false,
    logLevel: "silent",
  });
  return join(outDir, "main.mjs");
}

export interface CliProcess {
  readonly child: ChildProcess;
  readonly ended: Promise<{ status: number | null; signal: string | null; stdout: string; stderr: string }>;
}

export function startCli(main: string, args: readonly string[], env: NodeJS.ProcessEnv): CliProcess {
  const child = spawn(process.execPath, [main, ...args], { env: { PATH: process.env.PATH, ...env } });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk: Buffer) => {
    stdout += chunk.toString();
  });
  child.stderr.on("data", (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  const ended = new Promise<Awaited<CliProcess["ended"]>>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (status, signal) => resolve({ status, signal, stdout, stderr }));
  });
  return { child, ended };
}
