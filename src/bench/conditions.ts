import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { cpuName } from "./cores.ts";
import type { BackendInfo } from "../compute/backend.ts";

/** Date, machine, build and configuration of a measurement. */
export interface BenchConditions {
  readonly date: string;
  /** Of the working directory; undefined outside of a git repository. */
  readonly commit: string | undefined;
  readonly cpu: string;
  readonly instructionSet: string;
  readonly threads: number;
  readonly numerics: number;
}

export function benchConditions({ instructionSet, threads, numerics }: BackendInfo): BenchConditions {
  const cpu = cpuName();
  return {
    date: new Date().toISOString().slice(0, 10),
    commit: currentCommit(),
    cpu,
    instructionSet,
    threads,
    numerics,
  };
}

/** Whether the CPU runs 512-bit products in one piece. AMD's family 25 (Zen 4) splits them into two halves. */
export function isFullWidth(): boolean {
  try {
    const info = readFileSync("/proc/cpuinfo", "utf8");
    return !(info.includes("AuthenticAMD") && /^cpu family\s*:\s*25$/m.test(info));
  } catch {
    return true;
  }
}

function currentCommit(): string | undefined {
  try {
    return execFileSync("git", ["rev-parse", "--short", "HEAD"], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    }).trim();
  } catch {
    return undefined;
  }
}
