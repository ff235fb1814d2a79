import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { cpus } from "node:os";
import type { ReportLine } from "../../bench/report.ts";
import type { BackendInfo } from "../../compute/backend.ts";
import { table } from "../terminal/style.ts";

/** When, where and with what figures were measured. */
export interface BenchConditions {
  readonly date: string;
  readonly commit: string | undefined;
  readonly cpu: string;
  readonly instructionSet: string;
  readonly threads: number;
  readonly numerics: number;
}

export function benchConditions({ instructionSet, threads, numerics }: BackendInfo): BenchConditions {
  const cpu = cpus()[0]?.model.trim() ?? "unknown";
  return { date: new Date().toISOString().slice(0, 10), commit: commitOf(), cpu, instructionSet, threads, numerics };
}

/** The conditions as a line above a table. */
export function headerOf({ cpu, instructionSet, threads, numerics, date, commit }: BenchConditions): string {
  const suffix = commit === undefined ? "" : `, commit ${commit}`;
  return `${cpu}, ${instructionSet}, ${threads} threads, numerics ${numerics}, ${date}${suffix}\n\n`;
}

export function tableOf(lines: readonly ReportLine[]): string {
  const verdict = (isMet: boolean | undefined) => (isMet === undefined ? "" : isMet ? "met" : "missed");
  return table(lines.map(({ what, value, goal, isMet }) => [what, value, goal, verdict(isMet)]));
}

/** AMD's family 25 (Zen 4) runs 512-bit products in two halves. */
export function isFullWidth(): boolean {
  try {
    const info = readFileSync("/proc/cpuinfo", "utf8");
    return !(info.includes("AuthenticAMD") && /^cpu family\s*:\s*25$/m.test(info));
  } catch {
    return true;
  }
}

function commitOf(): string | undefined {
  try {
    return execFileSync("git", ["rev-parse", "--short", "HEAD"], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    }).trim();
  } catch {
    return undefined;
  }
}
