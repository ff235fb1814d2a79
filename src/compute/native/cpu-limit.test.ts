import { describe, expect, it } from "vitest";
import { cpuQuota, defaultThreads } from "./cpu-limit.ts";

const reader = (files: Readonly<Record<string, string>>) => (path: string) => files[path];

describe("threads by default", () => {
  it.each([
    ["no control groups", {}, 8],
    ["no limit", { "/sys/fs/cgroup/cpu.max": "max 100000\n" }, 8],
    ["a container of two processors", { "/sys/fs/cgroup/cpu.max": "200000 100000\n" }, 2],
    ["one and a half", { "/sys/fs/cgroup/cpu.max": "150000 100000\n" }, 2],
    ["less than one", { "/sys/fs/cgroup/cpu.max": "10000 100000\n" }, 1],
    ["more than there are", { "/sys/fs/cgroup/cpu.max": "9900000 100000\n" }, 8],
    [
      "groups inside of each other",
      {
        "/proc/self/cgroup": "0::/system.slice/app.service\n",
        "/sys/fs/cgroup/system.slice/cpu.max": "300000 100000\n",
        "/sys/fs/cgroup/system.slice/app.service/cpu.max": "500000 100000\n",
      },
      3,
    ],
  ])("%s", (_, files, threads) => {
    expect(defaultThreads(reader(files), 8)).toBe(threads);
  });

  it("are at most 16", () => {
    expect(defaultThreads(reader({}), 64)).toBe(16);
    expect(cpuQuota(reader({}))).toBeUndefined();
  });
});
