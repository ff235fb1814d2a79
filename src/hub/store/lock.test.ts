import { mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { acquireLock, isLocked, type LockOptions } from "./lock.ts";

/** Above every process id of Linux. */
const DEAD_PID = 2 ** 22 + 1;
let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "idlm-lock-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

function acquire(more: Partial<LockOptions> = {}) {
  const timing = { pollMs: 2, beatMs: 20, silentMs: 100_000, ...more.timing };
  return acquireLock(folder, "model", { subject: "org/repo", onWait: () => {}, ...more, timing });
}

function write(number: number, text: string): string {
  const path = join(folder, `model.${number}.lock`);
  writeFileSync(path, text);
  return path;
}

describe("acquireLock", () => {
  it("is held by one process at a time, and by all in the end", async () => {
    let inside = 0;
    let max = 0;
    const work = async () => {
      for (let i = 0; i < 5; i++) {
        const lock = await acquire();
        max = Math.max(max, ++inside);
        await sleep(1);
        expect(await lock.isHeld()).toBe(true);
        inside--;
        await lock.release();
      }
    };
    await Promise.all(Array.from({ length: 6 }, work));
    expect(max).toBe(1);
    expect(await isLocked(folder, "model")).toBe(false);
    expect(readdirSync(folder)).toHaveLength(1);
  });

  it("is independent of locks with other names", async () => {
    const lock = await acquire();
    const other = await acquireLock(folder, "mode", { subject: "other" });
    await Promise.all([lock.release(), other.release()]);
  });

  it("reports the holder once, or fails without onWait", async () => {
    const lock = await acquire();
    const waiting: string[] = [];
    const second = acquire({ onWait: (who) => waiting.push(who) });
    await expect(acquire({ onWait: undefined })).rejects.toMatchObject({
      code: "busy",
      message: expect.stringContaining(`process ${process.pid}`),
    });
    await sleep(20);
    await lock.release();
    await (await second).release();
    expect(waiting).toEqual([`process ${process.pid}`]);
  });

  it("takes over from a dead process at once", async () => {
    const lock = await acquire();
    const [file = ""] = readdirSync(folder);
    const { host } = JSON.parse(readFileSync(join(folder, file), "utf8")) as { host: string };
    await lock.release();
    write(7, JSON.stringify({ host, pid: DEAD_PID }));
    expect(await isLocked(folder, "model")).toBe(false);
    const next = await acquire();
    expect(next.tookOver).toBe(false);
    expect(readdirSync(folder)).toEqual(["model.8.lock"]);
    await next.release();
  });

  it.each([
    ["of another machine", JSON.stringify({ host: "elsewhere", pid: 1 })],
    ["that says nonsense", '{"host":1,"pid":"x"}'],
  ])("takes over from a lock %s only after a long silence", async (_, text) => {
    const path = write(3, text);
    const waiting = acquire({ timing: { silentMs: 150 } });
    for (let i = 1; i <= 5; i++) {
      await sleep(50);
      utimesSync(path, i, i); // it is alive
    }
    expect(readdirSync(folder)).toEqual(["model.3.lock"]);
    const lock = await waiting;
    expect(lock.tookOver).toBe(true);
    await lock.release();
  });

  it.each([true, false])(
    "takes over from a process that was killed before it wrote its id (waiting: %s)",
    async (waits) => {
      write(3, "");
      expect(await isLocked(folder, "model")).toBe(true);
      const lock = await acquire({ timing: { emptyMs: 20 }, ...(!waits && { onWait: undefined }) });
      expect(lock.tookOver).toBe(false);
      expect(readdirSync(folder)).toEqual(["model.4.lock"]);
      await lock.release();
    },
  );

  it("waits for a process that is about to write its id", async () => {
    const path = write(3, "");
    const trying = acquire({ timing: { emptyMs: 60_000 }, onWait: undefined });
    await sleep(20);
    writeFileSync(path, JSON.stringify({ host: "elsewhere", pid: 1 }));
    await expect(trying).rejects.toMatchObject({ code: "busy" });
  });

  it("tells a suspended holder that it lost the lock", async () => {
    const old = await acquire({ timing: { beatMs: 1e6 } });
    const lock = await acquire({ timing: { silentMs: 30 } });
    expect([lock.tookOver, await old.isHeld(), await lock.isHeld()]).toEqual([true, false, true]);
    await old.release();
    expect(await isLocked(folder, "model")).toBe(true);
    await lock.release();
  });

  it("stops waiting on abort", async () => {
    const lock = await acquire();
    const waiting = acquire({ signal: AbortSignal.timeout(20) });
    await expect(waiting).rejects.toThrow(/timeout/);
    await lock.release();
  });
});
