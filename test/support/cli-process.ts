import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { bundle } from "./bundle.ts";

/** Bundles the current command line and returns its path. The caller removes its folder. */
export async function bundleCli(): Promise<string> {
  return join(await bundle("src/cli/main.ts"), "main.mjs");
}

export interface CliProcess {
  readonly child: ChildProcess;
  readonly ended: Promise<{ status: number | null; signal: string | null; stdout: string; stderr: string }>;
}

export function startCli(main: string, args: readonly string[], env: NodeJS.ProcessEnv): CliProcess {
  return startNode([main, ...args], { PATH: process.env.PATH, ...env });
}

/** Runs Node.js, and collects its output. */
export function startNode(args: readonly string[], env: NodeJS.ProcessEnv = process.env): CliProcess {
  const child = spawn(process.execPath, args, { env });
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
