import { readFileSync } from "node:fs";

/** Linux's clock ticks are of 10 ms, whatever the kernel's own (USER_HZ). */
const TICK_MS = 10;

/** Time for which this thread has been computing, in steps of 10 ms; where the system does not say, of the process. */
export function threadCpuMs(): number {
  try {
    // The name in brackets may contain spaces; utime and stime are the 12th and 13th field after it (proc(5)).
    const stat = readFileSync("/proc/thread-self/stat", "latin1");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return TICK_MS * (Number(fields[11]) + Number(fields[12]));
  } catch {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1000;
  }
}
