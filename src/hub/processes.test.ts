import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import type { ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { bundleCli, type CliProcess, startCli } from "../../test/support/cli-process.ts";
import { FakeHub, madeBytes, sendFile, sha256 } from "../../test/support/fake-hub.ts";
import { pull } from "./pull.ts";

const weights = madeBytes(2_000_000);
let main = "";
let home = "";
let hub: FakeHub;

beforeAll(async () => {
  main = await bundleCli();
});
afterAll(() => rmSync(dirname(main), { recursive: true }));
beforeEach(async () => {
  home = mkdtempSync(join(tmpdir(), "idlm-processes-"));
  hub = await FakeHub.start();
  hub.add("model.gguf", weights);
});
afterEach(async () => {
  await hub.stop();
  rmSync(home, { recursive: true });
});

const idlm = (...args: string[]) =>
  startCli(main, args, { ...hub.environment, IDLM_HOME: home, HF_TOKEN: "hf_secret" });

function partialBytes(cache = home): number {
  const [key = "none"] = existsSync(join(cache, "models")) ? readdirSync(join(cache, "models")) : [];
  const path = join(cache, "models", key, "partial", sha256(weights));
  return existsSync(path) ? statSync(path).size : 0;
}

/** Sends the requested bytes up to `end`, then stalls. */
function sendUpTo(range: string | undefined, response: ServerResponse, end: number): void {
  const from = Number(/\d+/.exec(range ?? "0")?.[0]);
  const headers = { etag: '"1"', "content-range": `bytes ${from}-${weights.length - 1}/${weights.length}` };
  response.writeHead(range === undefined ? 200 : 206, { ...headers, "content-length": weights.length - from });
  response.write(weights.subarray(from, end));
}

describe("a process that is killed", () => {
  it("leaves no usable model, and its download is resumed", async () => {
    const ends = [500_000, 900_000, 1_700_000];
    for (const end of ends) {
      hub.onFile = (request, response) => {
        sendUpTo(request.headers.range, response, end);
        return true;
      };
      const { child, ended } = idlm("pull", "org/repo");
      await expect.poll(partialBytes, { timeout: 30_000 }).toBe(end);
      child.kill("SIGKILL");
      expect((await ended).signal).toBe("SIGKILL");
      const listed = await idlm("list", "--json").ended;
      expect(JSON.parse(listed.stdout)).toMatchObject([{ name: "org/repo", state: "incomplete", kind: "gguf" }]);
    }
    hub.onFile = (request, response) => {
      sendFile(request, response, weights, '"1"');
      return true;
    };
    const { status, stdout } = await idlm("pull", "org/repo", "--json").ended;
    expect(status).toBe(0);
    const { name, path } = JSON.parse(stdout) as { name: string; path: string };
    expect(name).toBe("org/repo");
    expect(readFileSync(path).equals(weights)).toBe(true);
    expect(hub.fetched).toEqual(["model.gguf all", ...ends.map((end) => `model.gguf bytes=${end}-`)]);
    expect(existsSync(join(dirname(dirname(path)), "partial"))).toBe(false);
  });

  it("at any time leaves a cache that the next pull completes", async () => {
    hub.onFile = (request, response) => {
      // A whole pull takes about 400 ms.
      const from = Number(/\d+/.exec(request.headers.range ?? "0")?.[0]);
      sendUpTo(request.headers.range, response, from);
      let at = from;
      const timer = setInterval(() => {
        response.write(weights.subarray(at, at + 50_000));
        at += 50_000;
        if (at < weights.length) return;
        clearInterval(timer);
        response.end();
      }, 10);
      response.once("close", () => clearInterval(timer));
      return true;
    };
    for (let kills = 0; kills < 6; kills++) {
      const { child, ended } = idlm("pull", "org/repo");
      await sleep(300 + 120 * kills);
      child.kill("SIGKILL");
      await ended;
      const { stdout } = await idlm("list", "--json").ended;
      for (const { state, path } of JSON.parse(stdout) as { state: string; path: string }[]) {
        expect(["incomplete", "unchecked", "ready", "unknown"]).toContain(state);
        if (state === "ready") expect(readFileSync(path).equals(weights)).toBe(true);
      }
    }
    const { stdout } = await idlm("pull", "org/repo").ended;
    expect(readFileSync(stdout.trim()).equals(weights)).toBe(true);
  });

  it("by Ctrl-C exits with 130 and keeps the partial file", async () => {
    hub.onFile = (request, response) => {
      sendUpTo(request.headers.range, response, 500_000);
      return true;
    };
    const { child, ended } = idlm("pull", "org/repo");
    await expect.poll(partialBytes, { timeout: 30_000 }).toBe(500_000);
    child.kill("SIGINT");
    expect(await ended).toMatchObject({ status: 130, stdout: "" });
    expect(partialBytes()).toBe(500_000);
  });
});

/** Starts another pull of the model; resolves once it has printed this. */
async function waitingPull(says: string): Promise<CliProcess> {
  const pulling = idlm("pull", "org/repo");
  let said = "";
  pulling.child.stderr?.on("data", (chunk: Buffer) => {
    said += chunk.toString();
  });
  await expect.poll(() => said, { timeout: 30_000 }).toContain(says);
  return pulling;
}

describe("two processes", () => {
  it("download a model once", async () => {
    let release = () => {};
    hub.onFile = (request, response) => {
      sendUpTo(request.headers.range, response, 500_000);
      release = () => void response.end(weights.subarray(500_000));
      return true;
    };
    const first = idlm("pull", "org/repo");
    await expect.poll(partialBytes, { timeout: 30_000 }).toBe(500_000);
    const second = await waitingPull(`waiting for process ${first.child.pid}`);
    const removed = await idlm("remove", "org/repo").ended;
    expect(removed).toMatchObject({ status: 6, stderr: expect.stringMatching(/is using it\. Try again/) });
    expect(JSON.parse((await idlm("list", "--json").ended).stdout)).toMatchObject([{ state: "fetching" }]);
    release();
    const results = await Promise.all([first.ended, second.ended]);
    expect(results.map(({ status }) => status)).toEqual([0, 0]);
    expect(new Set(results.map(({ stdout }) => stdout)).size).toBe(1);
    expect(readFileSync(results[0].stdout.trim()).equals(weights)).toBe(true);
    expect(hub.fetched).toEqual(["model.gguf all"]);
  });

  it("of which the first is killed: the second resumes its download", async () => {
    hub.onFile = (request, response) => {
      if (request.headers.range === undefined) sendUpTo(undefined, response, 500_000);
      else sendFile(request, response, weights, '"1"');
      return true;
    };
    const first = idlm("pull", "org/repo");
    await expect.poll(partialBytes, { timeout: 30_000 }).toBe(500_000);
    const second = await waitingPull("waiting for process");
    first.child.kill("SIGKILL");
    const { status, stdout } = await second.ended;
    expect(status).toBe(0);
    expect(readFileSync(stdout.trim()).equals(weights)).toBe(true);
    expect(hub.fetched.at(-1)).toBe("model.gguf bytes=500000-");
  });
});

describe("a full disk", () => {
  /** A disk of 3 MB; undefined if this user cannot create one. */
  function mountDisk(): string | undefined {
    const path = join(home, "disk");
    mkdirSync(path);
    try {
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=3m", "tmpfs", path], { stdio: "ignore" });
      return path;
    } catch {
      return undefined;
    }
  }

  it("is detected before and during a download, and the partial file is kept", async (context) => {
    const disk = mountDisk();
    if (disk === undefined) return context.skip("cannot mount a disk of its own");
    try {
      const filler = join(disk, "filler");
      const fetchModel = () =>
        pull("org/repo", { cache: disk, environment: hub.environment, timing: { backoffMs: 1 } });
      writeFileSync(filler, Buffer.alloc(2_000_000));
      await expect(fetchModel()).rejects.toMatchObject({
        code: "download",
        message: expect.stringMatching(/it needs 2\.0 MB, and the disk of .* has 1\.\d MB free\. Free some space/),
      });
      expect(hub.fetched).toEqual([]);

      rmSync(filler);
      hub.onFile = (request, response) => {
        sendUpTo(request.headers.range, response, 500_000);
        setTimeout(() => {
          execFileSync("sh", ["-c", `cat /dev/zero > ${filler} 2>/dev/null || true`]);
          response.end(weights.subarray(500_000));
        }, 100);
        return true;
      };
      await expect(fetchModel()).rejects.toThrow(
        /cannot write to the cache .*: its disk is full\. Free some space and try again/,
      );
      const kept = partialBytes(disk);
      expect(kept).toBeGreaterThanOrEqual(500_000);

      rmSync(filler);
      hub.onFile = () => false;
      expect(readFileSync(await fetchModel()).equals(weights)).toBe(true);
      expect(hub.fetched.at(-1)).toMatch(/bytes=\d+-/);
    } finally {
      execFileSync("umount", [disk]);
    }
  });

  it("at any write is an error, and leaves nothing invalid", async () => {
    const handle = await open(join(home, "x"), "w");
    const prototype = Object.getPrototypeOf(handle) as FileHandle;
    await handle.close();
    const { write } = prototype;
    for (const failing of [0, 1, 5]) {
      let writes = 0;
      const spy = vi.spyOn(prototype, "write").mockImplementation(function (this: FileHandle, ...args: unknown[]) {
        if (writes++ >= failing) {
          const error = Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
          return Promise.reject(Object.assign(error, { syscall: "write" }));
        }
        return Reflect.apply(write, this, args) as ReturnType<FileHandle["write"]>;
      } as never);
      const failed = pull("org/repo", { cache: home, environment: hub.environment });
      await expect(failed).rejects.toThrow(/its disk is full/);
      spy.mockRestore();
    }
    expect(readFileSync(await pull("org/repo", { cache: home, environment: hub.environment })).equals(weights)).toBe(
      true,
    );
  });
});
