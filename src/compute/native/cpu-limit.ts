import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { posix } from "node:path";

/** More threads gain little. */
const MAX_BY_DEFAULT = 16;

/** The text of a file; undefined if it cannot be read. */
export type ReadText = (path: string) => string | undefined;

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

/**
 * Processors that the control groups of this process leave it (cgroup v2, `cpu.max`: quota and period), as containers set
 * them; undefined if there is no limit. All nested groups count.
 */
export function cpuQuota(read: ReadText = readText): number | undefined {
  const group = /^0::(\/.*)$/m.exec(read("/proc/self/cgroup") ?? "")?.[1] ?? "/";
  const quotas: number[] = [];
  for (let path = posix.normalize(group); ; path = posix.dirname(path)) {
    const text = read(posix.join("/sys/fs/cgroup", path, "cpu.max"));
    const [, quota, period] = /^(\d+) (\d+)/.exec(text ?? "") ?? [];
    if (quota !== undefined && Number(period) > 0) quotas.push(Number(quota) / Number(period));
    if (path === "/" || path === ".") break;
  }
  return quotas.length === 0 ? undefined : Math.min(...quotas);
}

/** Compute threads by default: one per core, at most as many as the quota allows. */
export function defaultThreads(read: ReadText = readText, cores = availableParallelism()): number {
  const quota = cpuQuota(read) ?? cores;
  return Math.max(1, Math.min(cores, Math.ceil(quota), MAX_BY_DEFAULT));
}
