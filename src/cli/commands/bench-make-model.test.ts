import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { bundleCli, startCli } from "../../../test/support/cli-process.ts";
import { makeModel } from "../../bench/make-model.ts";
import { modelShapes } from "../../bench/model-shapes.ts";
import type { ModelConfig } from "../../model/config/config.ts";

let main = "";
const folder = mkdtempSync(join(tmpdir(), "idlm-bench-make-model-"));
const out = join(folder, "model.gguf");
/** Takes more than a second, so that there is time to interrupt it. */
const args = ["bench", "make-model", "--shape", "llama-3.2-1b", "--type", "Q8_0", "--out", out];

beforeAll(async () => {
  main = await bundleCli();
}, 60_000);
beforeEach(() => writeFileSync(out, "the old file"));
afterAll(() => {
  rmSync(dirname(main), { recursive: true });
  rmSync(folder, { recursive: true });
});

function expectNothingNew(): void {
  expect(readdirSync(folder)).toEqual(["model.gguf"]);
  expect(readFileSync(out, "utf8")).toBe("the old file");
}

describe("idlm bench make-model that is interrupted keeps the old file and leaves nothing else", () => {
  it.each(["SIGINT", "SIGTERM"] as const)("by %s", async (signal) => {
    const { child, ended } = startCli(main, args, {});
    const written = () =>
      readdirSync(folder)
        .filter((name) => name.endsWith(".tmp"))
        .map((name) => statSync(join(folder, name)).size)[0] ?? 0;
    await expect.poll(written, { timeout: 30_000, interval: 5 }).toBeGreaterThan(1e6);
    child.kill(signal);
    expect(await ended).toMatchObject({ status: 130, stdout: "" });
    expectNothingNew();
  });

  it.skipIf(process.platform === "win32")("by a file size limit", () => {
    // In units of 512 or 1024 bytes.
    const limited = ["-c", 'ulimit -f 20000; exec "$@"', "sh", process.execPath, main, ...args];
    const { status, stderr } = spawnSync("sh", limited, { encoding: "utf8" });
    expect({ status, stderr }).toEqual({
      status: 3,
      stderr: expect.stringMatching(/^error: .*model\.gguf: cannot be written: it exceeds the file system/),
    });
    expectNothingNew();
  });

  it("by an error in a callback", async () => {
    const asked = { config: modelShapes["smollm2-135m"] as ModelConfig, name: "a", mix: "Q8_0", seed: 1 } as const;
    const onBytes = (done: number) => {
      if (done > 1e6) throw new Error("enough");
    };
    await expect(makeModel(out, { ...asked, onBytes })).rejects.toThrow("enough");
    expectNothingNew();
  });
});
