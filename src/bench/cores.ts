import { readFileSync } from "node:fs";
import { cpus } from "node:os";

/** As the system calls it. */
export function cpuName(): string {
  return cpus()[0]?.model.trim() ?? "unknown";
}

/** The text of a file; undefined if it cannot be read. */
type ReadText = (path: string) => string | undefined;

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

/**
 * Cores behind the processors that this process may use, as Linux reports them: threads of one core have the same list of
 * siblings. Undefined where the system does not say.
 */
export function reportedCores(read: ReadText = readText): number | undefined {
  const allowed = /^Cpus_allowed_list:\s*(\S+)$/m.exec(read("/proc/self/status") ?? "")?.[1];
  if (allowed === undefined) return undefined;
  const cores = new Set<string>();
  for (const processor of numbersOf(allowed)) {
    const siblings = read(`/sys/devices/system/cpu/cpu${processor}/topology/thread_siblings_list`)?.trim();
    if (siblings === undefined || siblings === "") return undefined;
    cores.add(siblings);
  }
  return cores.size;
}

/** Whether so many threads are more than there are cores, so that some are siblings; undefined if that is not known. */
export function siblingThreads(threads: number, read: ReadText = readText): boolean | undefined {
  const cores = reportedCores(read);
  return cores === undefined ? undefined : threads > cores;
}

/** The numbers of a list like 0-3,8. */
function numbersOf(list: string): number[] {
  return list.split(",").flatMap((range) => {
    const [first = 0, last = first] = range.split("-").map(Number);
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
}
