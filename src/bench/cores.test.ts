import { describe, expect, it } from "vitest";
import { reportedCores, siblingThreads } from "./cores.ts";

/** Files of a machine: the processors that a process may use, and the siblings of each. */
function machine(allowed: string, siblings: readonly string[]) {
  const files = new Map([["/proc/self/status", `Name:\tnode\nCpus_allowed_list:\t${allowed}\nMems_allowed:\t1\n`]]);
  for (const [i, list] of siblings.entries()) {
    files.set(`/sys/devices/system/cpu/cpu${i}/topology/thread_siblings_list`, `${list}\n`);
  }
  return (path: string) => files.get(path);
}

describe("cores behind the processors of this process", () => {
  it("counts threads of one core once, whatever their numbers", () => {
    expect(reportedCores(machine("0-3", ["0,2", "1,3", "0,2", "1,3"]))).toBe(2);
    expect(reportedCores(machine("0-3", ["0-1", "0-1", "2-3", "2-3"]))).toBe(2);
    expect(reportedCores(machine("0-1", ["0", "1"]))).toBe(2);
  });

  it("counts only processors that the process may use", () => {
    const siblings = ["0,2", "1,3", "0,2", "1,3"];
    expect(reportedCores(machine("0,2", siblings))).toBe(1);
    expect(reportedCores(machine("0-1", siblings))).toBe(2);
    expect(reportedCores(machine("0-1,3", siblings))).toBe(2);
  });

  it("says nothing where the system does not", () => {
    expect(reportedCores(() => undefined)).toBeUndefined();
    expect(reportedCores(machine("0-2", ["0", "1"]))).toBeUndefined();
    expect(siblingThreads(2, () => undefined)).toBeUndefined();
  });

  it("calls threads siblings where there are more of them than cores", () => {
    const read = machine("0-3", ["0,2", "1,3", "0,2", "1,3"]);
    expect([1, 2, 3, 4].map((threads) => siblingThreads(threads, read))).toEqual([false, false, true, true]);
  });
});
